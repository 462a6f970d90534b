use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::catalog;

/// The rows of a reply to an endpoint with these keys, parsed.
fn rows(
    endpoint: &str,
    fixed: &[(&str, &str)],
    body: &str,
) -> Result<Vec<serde_json::Value>, PageError> {
    let found = find(endpoint, fixed, body)?;
    Ok(found.rows().map(|row| serde_json::from_str(row).unwrap()).collect())
}

fn find(endpoint: &str, fixed: &[(&str, &str)], body: &str) -> Result<RawPage, PageError> {
    let catalog = format!(
        "[dataset.rows]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'row'\n\
         [dataset.rows.query]\npath = '/rows'\n{endpoint}\n[type.row]\nid = 'string'\nat = 'timestamp'\n"
    );
    let dataset = Arc::clone(&catalog::read("test", &catalog).unwrap().datasets["rows"]);
    let fixed = fixed.iter().map(|(column, text)| ((*column).to_owned(), (*text).to_owned()));
    PageParser::new(dataset.endpoint(), fixed.collect()).find(Bytes::from(body.to_owned()))
}

const EXPLODE: &str = "rows = '/results'\nexplode = ['data', 'more']";

#[test]
fn every_element_of_an_exploded_list_is_a_row_with_the_fields_of_its_item() {
    let body = r#"{"results": [
        {"group": {"queue": "q"}, "n": 1, "data": [{"a": 1}, {"a": 2}], "more": [ { } ]},
        {"n": 2, "data": []}, {"n": 3, "data": null}, {"n": 4}, {"n": 5, "more": [{"b": [1]}]}]}"#;
    let group = || json!({ "queue": "q" });
    let expected = [
        json!({ "group": group(), "n": 1, "a": 1 }),
        json!({ "group": group(), "n": 1, "a": 2 }),
        json!({ "group": group(), "n": 1 }),
        json!({ "n": 5, "b": [1] }),
    ];
    assert_eq!(rows(EXPLODE, &[], body).unwrap(), expected);
    assert_eq!(find(EXPLODE, &[], body).unwrap().items, 5, "paging counts items, not rows");
}

#[test]
fn fields_of_an_element_override_those_of_its_item() {
    let body = r#"{"results": [{"id": "item", "n": 1, "data": [{"id": "element", "data": "inner"}, {}]}]}"#;
    let expected =
        [json!({ "id": "element", "n": 1, "data": "inner" }), json!({ "id": "item", "n": 1 })];
    assert_eq!(rows(EXPLODE, &[], body).unwrap(), expected);
}

#[test]
fn items_and_elements_that_are_not_objects_are_kept() {
    let body = r#"{"results": [null, 5, {"n": 1, "data": [null, "x", {}]}]}"#;
    assert_eq!(
        rows(EXPLODE, &[], body).unwrap(),
        [json!(null), json!(5), json!(null), json!("x"), json!({ "n": 1 })]
    );
    let error = rows(EXPLODE, &[], r#"{"results": [{"data": {"a": 1}}]}"#).unwrap_err();
    assert!(matches!(error, PageError::Shape(_)), "{error}");
}

#[test]
fn fixed_columns_override_fields_of_the_reply() {
    let fixed = [("at", "2024-01-01T00:00:00Z"), ("team", "o\"n")];
    let body = r#"[{"id": "a"}, { }, {"id": "b", "team": null, "at": "never"}, 5]"#;
    let at = "2024-01-01T00:00:00Z";
    let expected = [
        json!({ "id": "a", "at": at, "team": "o\"n" }),
        json!({ "at": at, "team": "o\"n" }),
        json!({ "id": "b", "at": at, "team": "o\"n" }),
        json!(5),
    ];
    assert_eq!(rows("rows = ''", &fixed, body).unwrap(), expected);
    let csv = rows("rows = ''\nformat = 'csv'", &fixed, "id,team\nb,x\n").unwrap();
    assert_eq!(csv, [json!({ "id": "b", "at": at, "team": "o\"n" })]);
}

#[test]
fn a_star_finds_the_only_list_of_a_reply() {
    for body in [
        r#"[{"id": "a"}]"#,
        r#"{"agents": [{"id": "a"}], "total": 1}"#,
        r#"{"_links": {"next": ""}, "resultSet": {"agents": [{"id": "a"}], "total": 1}}"#,
        r#"{"agents": [{"id": "a"}], "paging": {"sorts": [1], "pages": [2]}}"#,
    ] {
        assert_eq!(rows("rows = '*'", &[], body).unwrap(), [json!({ "id": "a" })], "{body}");
    }
    for body in ["{}", r#"{"total": 0}"#, r#"{"resultSet": null}"#, "[]", "null"] {
        assert!(rows("rows = '*'", &[], body).unwrap().is_empty(), "{body}");
    }
    let next = find(
        "rows = '*'\ntotal = '/resultSet/total'",
        &[],
        r#"{"resultSet": {"a": [1], "total": 7}}"#,
    )
    .unwrap();
    assert_eq!((next.items, next.total), (1, Some(7)));
}

#[test]
fn a_star_among_several_lists_is_an_error_that_names_them() {
    for body in
        [r#"{"agents": [], "n": 1, "teams": []}"#, r#"{"a": {"agents": []}, "b": {"teams": []}}"#]
    {
        let error = rows("rows = '*'", &[], body).unwrap_err();
        assert!(error.to_string().contains("there are several lists: agents, teams"), "{error}");
    }
}

#[test]
fn a_next_cursor_that_is_null_empty_false_or_absent_is_none() {
    let endpoint = "rows = '/rows'\nnext = '/page/next'";
    let next = |page: &str| {
        find(endpoint, &[], &format!(r#"{{"page": {page}, "rows": [1]}}"#)).unwrap().next
    };
    for page in ["{}", "[]", "null", "\"last\"", "3", "false"] {
        assert_eq!(next(page), None, "{page}");
    }
    for value in ["null", "\"\"", "false", "{}", "[]"] {
        assert_eq!(next(&format!(r#"{{"next": {value}}}"#)), None, "{value}");
    }
    for (value, text) in [
        ("\"a\\/b\"", "a/b"),
        ("7", "7"),
        ("true", "true"),
        ("12345678901234567890", "12345678901234567890"),
    ] {
        assert_eq!(next(&format!(r#"{{"next": {value}}}"#)).as_deref(), Some(text));
    }
    assert!(find(endpoint, &[], r#"{"page": {"next": "x"#).is_err());
}

#[test]
fn csv_may_have_a_byte_order_mark_quotes_line_breaks_and_empty_fields() {
    let csv = "\u{feff}\"id\",at,note\r\n\"a\",1,\"says \"\"hi\"\",\nand goes\"\r\n b ,,\r\n\"ü\",\"\",x,beyond\nshort\n";
    let expected = [
        json!({ "id": "a", "at": "1", "note": "says \"hi\",\nand goes" }),
        json!({ "id": " b " }),
        json!({ "id": "ü", "note": "x" }),
        json!({ "id": "short" }),
    ];
    assert_eq!(rows("rows = ''\nformat = 'csv'", &[], csv).unwrap(), expected);
    let reply = |body: &str| find("rows = ''\nformat = 'csv'", &[], body).unwrap();
    assert_eq!(
        (reply(csv).items, reply("id,at\n").items, reply("id,at\n").is_nothing),
        (4, 0, false)
    );
    assert!(reply("").is_nothing && reply("\u{feff}").is_nothing);
}

#[test]
fn csv_that_is_not_utf8_is_an_error() {
    let dataset = "[dataset.r]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'r'\nquery = { path = '/', rows = '', format = 'csv' }\n\
        [type.r]\nid = 'string'\nat = 'timestamp'\n";
    let dataset = Arc::clone(&catalog::read("test", dataset).unwrap().datasets["r"]);
    let found =
        PageParser::new(dataset.endpoint(), Vec::new()).find(Bytes::from_static(b"id\n\xff\n"));
    assert!(matches!(found, Err(PageError::NotCsv(_))), "{found:?}");
}

#[test]
fn g8_rows_larger_than_sixteen_times_their_page_are_an_error() {
    // the fields of an item are repeated in each of its rows
    let page = |elements: usize| {
        let around = "x".repeat(32 * 1024);
        format!(
            r#"{{"results": [{{"around": "{around}", "data": [{}]}}]}}"#,
            vec!["{}"; elements].join(",")
        )
    };
    assert_eq!(rows(EXPLODE, &[], &page(31)).unwrap().len(), 31);
    let error = rows(EXPLODE, &[], &page(33)).unwrap_err();
    assert!(matches!(error, PageError::TooLarge(max) if max == 16 * 64 * 1024), "{error}");

    let header = "n".repeat(32 * 1024);
    let records = format!("id,{header}\n{}", "a,b\n".repeat(40));
    let error = rows("rows = ''\nformat = 'csv'", &[], &records).unwrap_err();
    assert!(matches!(error, PageError::TooLarge(_)), "{error}");
}

#[test]
fn html_or_json_is_not_read_as_csv() {
    for body in [
        "<html><body>sorry</body></html>",
        "  <!DOCTYPE html>\n<p>",
        r#"{"error": "expired"}"#,
        "\n{\n}\n",
    ] {
        let error = rows("rows = ''\nformat = 'csv'", &[], body).unwrap_err();
        assert!(matches!(error, PageError::NotCsv(_)), "{body}: {error}");
    }
    assert_eq!(
        rows("rows = ''\nformat = 'csv'", &[], "id,at\n").unwrap(),
        Vec::<serde_json::Value>::new()
    );
}
