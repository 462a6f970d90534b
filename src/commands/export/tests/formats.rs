//! How rows are written.

use super::*;

#[tokio::test]
async fn csv_has_every_value_as_it_is_and_a_spreadsheet_no_formula() {
    let texts = [
        "plain",
        "",
        "a,b",
        "say \"hi\"",
        "two\nlines",
        "cr\rhere",
        "=cmd|'/c calc'!A0",
        "+49",
        "-1",
        "@x",
        "\tx",
        "\u{feff}bom",
        "😀",
        "＝wide",
        " space ",
    ];
    let rows: Vec<_> = (0..)
        .zip(texts)
        .map(|(hour, text)| {
            let text = serde_json::Value::from(text);
            format!(
                r#"{{"id":"i","at":"2024-01-01T{hour:02}:00:00Z","media":{text},"seconds":-5}}"#
            )
        })
        .collect();
    let calls = Environment::new();
    calls.commit("c-1", days(0, 1), &rows.iter().map(String::as_str).collect::<Vec<_>>(), false);
    let text = calls.export(&request("media,seconds", ""), Format::Csv, false).await;
    let expected = "media,seconds\r\nplain,-5\r\n\"\",-5\r\n\"a,b\",-5\r\n\"say \"\"hi\"\"\",-5\r\n\
        \"two\nlines\",-5\r\n\"cr\rhere\",-5\r\n=cmd|'/c calc'!A0,-5\r\n+49,-5\r\n-1,-5\r\n\
        @x,-5\r\n\tx,-5\r\n\u{feff}bom,-5\r\n😀,-5\r\n＝wide,-5\r\n space ,-5\r\n";
    assert_eq!(text, expected);
    let text = calls.export(&request("media,seconds", ""), Format::Csv, true).await;
    let mut escaped = format!("\u{feff}{expected}");
    for formula in ["=cmd", "+49", "-1,", "@x", "\tx", "＝wide"] {
        escaped = escaped.replacen(&format!("\n{formula}"), &format!("\n'{formula}"), 1);
    }
    assert_eq!(text, escaped);
    // an empty line would be no row
    let text = calls.export(&request("score", "seconds = -5"), Format::Csv, false).await;
    assert_eq!(text, format!("score\r\n{}", "\"\"\r\n".repeat(texts.len())));
}

#[tokio::test]
async fn json_lines_have_all_columns_and_leave_nested_nulls_out() {
    let calls = calls(&[A, C]).await;
    let text = calls.export(&request("", ""), Format::Ndjson, false).await;
    let expected = [
        r#"{"id":"c","at":"2024-01-01T07:00:00Z","media":"chat","seconds":null,"score":1e+300,"open":null,"tags":null,"legs":null,"_extra":null}"#,
        r#"{"id":"a","at":"2024-01-01T08:00:00Z","media":"voice","seconds":60,"score":1.5,"open":true,"tags":{"a b":"1","x.y":"2"},"legs":[{"ani":"+49 1","hops":[1,2]},{}],"_extra":null}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn intervals_that_are_not_committed_are_named() {
    let calls = Environment::new();
    calls.commit("c-1", days(0, 1), &[], false);
    calls.commit("c-2", days(2, 3), &[], false);
    let uncommitted = async |from: Option<i64>, to: Option<i64>| {
        let ms = |day: i64| FIRST_MS + day * DAY_MS;
        let asked = ExportRequest { from_ms: from.map(ms), to_ms: to.map(ms), ..request("", "") };
        let exported = calls.export_to(&asked, Format::Csv, false, io::sink()).await.unwrap();
        exported.unwrap().uncommitted
    };
    assert_eq!(uncommitted(None, None).await, [days(1, 2)]);
    assert_eq!(uncommitted(Some(-1), Some(4)).await, [days(-1, 0), days(1, 2), days(3, 4)]);
    assert_eq!(uncommitted(Some(2), Some(3)).await, []);
}
