//! Which rows of a file are passed over without a look at them, and in which order the others come.

use arrow::datatypes::{DataType, Field, Schema};

use super::*;

/// Six calls a second apart, whose row groups have the seconds 1 and 2, 3 and 4, 5 and 5.
async fn in_groups() -> Environment {
    let calls = Environment::new();
    let rows: Vec<_> = [1, 2, 3, 4, 5, 5]
        .iter()
        .enumerate()
        .map(|(number, seconds)| {
            let (at, half) = (format!("2024-01-01T00:00:0{number}Z"), f64::from(*seconds) / 2.0);
            format!(
                r#"{{"id":"{number}","at":"{at}","seconds":{seconds},"score":{half},"media":"m{seconds}"}}"#
            )
        })
        .collect();
    calls.commit("c-1", days(0, 1), &rows.iter().map(String::as_str).collect::<Vec<_>>(), false);
    calls
}

async fn ids(calls: &Environment, request: &ExportRequest) -> String {
    let text = calls.export(request, Format::Csv, false).await;
    text.split_whitespace().skip(1).collect::<Vec<_>>().join("")
}

#[tokio::test]
async fn no_row_group_with_a_row_that_meets_the_condition_is_passed_over() {
    let calls = in_groups().await;
    for (operator, expected) in [
        ("= 2", "1"),
        ("= 3", "2"),
        ("!= 3", "01345"),
        ("!= 5", "0123"),
        ("< 3", "01"),
        ("< 4", "012"),
        ("<= 3", "012"),
        ("> 2", "2345"),
        ("> 4", "45"),
        (">= 2", "12345"),
        (">= 5", "45"),
        ("> 5", ""),
        ("< 1", ""),
    ] {
        let (sign, seconds) = operator.split_once(' ').unwrap();
        let half = seconds.parse::<f64>().unwrap() / 2.0;
        for condition in [
            format!("seconds {operator}"),
            format!("score {sign} {half}"),
            format!("media {sign} 'm{seconds}'"),
        ] {
            assert_eq!(ids(&calls, &request("id", &condition)).await, expected, "{condition}");
        }
    }
}

#[tokio::test]
async fn a_row_must_lie_in_the_interval_and_meet_all_comparisons() {
    let calls = in_groups().await;
    let part = |condition: &str| ExportRequest {
        from_ms: Some(FIRST_MS + 1_000),
        to_ms: Some(FIRST_MS + 5_000),
        ..request("id", condition)
    };
    assert_eq!(ids(&calls, &part("")).await, "1234");
    assert_eq!(ids(&calls, &part("seconds != 3")).await, "134");
    assert_eq!(ids(&calls, &part("seconds = 5")).await, "4");
    assert_eq!(ids(&calls, &part("seconds != 3 and media != 'm2'")).await, "34");
}

#[tokio::test]
async fn rows_of_the_same_time_keep_their_order() {
    let calls = Environment::new();
    let row = |id: &str, hour: u8| format!(r#"{{"id":"{id}","at":"2024-01-01T{hour:02}:00:00Z"}}"#);
    let rows = [("a", 2), ("b", 1), ("c", 1), ("d", 2), ("e", 1)].map(|(id, hour)| row(id, hour));
    calls.commit("c-1", days(0, 1), &rows.each_ref().map(String::as_str), false);
    assert_eq!(ids(&calls, &request("id", "")).await, "bcead");
}

#[tokio::test]
async fn a_quote_is_doubled_in_a_text_and_words_end_where_others_begin() {
    let calls = Environment::new();
    let row = r#"{"id":"a","at":"2024-01-01T00:00:00Z","media":"it's","open":true}"#;
    calls.commit("c-1", days(0, 1), &[row], false);
    assert_eq!(ids(&calls, &request("id", "media = 'it''s' and open = true")).await, "a");
    assert_eq!(ids(&calls, &request("id", "media = 'its'")).await, "");
    for (condition, expected) in [
        ("open = true andid = 'a'", "expected `and` or the end, found `andid = 'a'`"),
        ("open isnull", "expected one of = != < <= > >= `is null` `is not null`"),
        ("open is notnull", "expected `is null` or `is not null`"),
    ] {
        let error = Export::prepare(&calls.scope, &request("id", condition)).unwrap_err();
        assert!(error.to_string().contains(expected), "{condition}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_an_upgrade_is_about_to_record_is_exported() {
    let calls = Environment::new();
    let columns = calls.scope.format.layout.columns(&calls.scope.datasets[0]);
    let row = r#"{"id":"a","at":"2024-01-01T00:00:00Z"}"#;
    calls.commit(&upgraded_commit_id("c-1", &columns), days(0, 1), &[row], false);
    let ledger = rusqlite::Connection::open(calls.folder.path().join(LEDGER)).unwrap();
    ledger.execute("UPDATE shard SET commit_id = 'c-1'", []).unwrap();
    assert_eq!(ids(&calls, &request("id", "")).await, "a");
}

#[tokio::test]
async fn a_spreadsheet_keeps_all_digits_and_takes_no_name_of_a_column_for_a_formula() {
    let calls = Environment::new();
    let row = r#"{"id":"a","at":"2024-01-01T00:00:00Z","seconds":1234567890123456}"#;
    calls.commit("c-1", days(0, 1), &[row], false);
    let text = calls.export(&request("seconds", ""), Format::Csv, true).await;
    assert_eq!(text, "\u{feff}seconds\r\n'1234567890123456\r\n");
    let fields = ["=cmd", "true", "plain"].map(|name| Field::new(name, DataType::Utf8, true));
    let (schema, target) = (Arc::new(Schema::new(fields.to_vec())), Memory::default());
    let (settings, file) = (&calls.scope.format, Box::new(target.clone()));
    RowWriter::begin(Format::Csv, true, &schema, settings, file).unwrap().finish().unwrap();
    assert_eq!(target.text(), "\u{feff}'=cmd,'true,plain\r\n");
}
