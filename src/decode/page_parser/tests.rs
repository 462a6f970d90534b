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

/// A dataset whose endpoint has these keys.
fn dataset(endpoint: &str) -> Arc<Dataset> {
    let catalog = format!(
        "[dataset.rows]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'row'\n\
         [dataset.rows.query]\npath = '/rows'\n{endpoint}\n[type.row]\nid = 'string'\nat = 'timestamp'\n"
    );
    Arc::clone(&catalog::read("test", &catalog).unwrap().datasets["rows"])
}

fn find(endpoint: &str, fixed: &[(&str, &str)], body: &str) -> Result<RawPage, PageError> {
    let dataset = dataset(endpoint);
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
        assert!(error.to_string().contains("there are several lists: /"), "{error}");
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
    let csv = "\u{feff}\"id\",at,note\r\n\"a\",1,\"says \"\"hi\"\",\nand goes\"\r\n b ,,\r\n\r\n\"ü\",\"\",x\r\n";
    let expected = [
        json!({ "id": "a", "at": "1", "note": "says \"hi\",\nand goes" }),
        json!({ "id": " b " }),
        json!({ "id": "ü", "note": "x" }),
    ];
    assert_eq!(rows("rows = ''\nformat = 'csv'", &[], csv).unwrap(), expected);
    let reply = |body: &str| find("rows = ''\nformat = 'csv'", &[], body).unwrap();
    assert_eq!(
        (reply(csv).items, reply("id,at\n").items, reply("id,at\n").is_nothing),
        (3, 0, false)
    );
    assert!(reply("").is_nothing && reply("\u{feff}").is_nothing);
}

#[test]
fn csv_without_the_columns_of_its_key_or_with_a_record_of_another_width_is_an_error() {
    let dataset = "[dataset.r]\nversion = 1\nid = ['id', 'team']\ntime = 'at'\ncolumns = 'r'\naliases = { start = 'at' }\n\
        query = { path = '/', rows = '', format = 'csv' }\n\
        [type.r]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\n";
    let dataset = Arc::clone(&catalog::read("test", dataset).unwrap().datasets["r"]);
    let find = |fixed: &[(&str, &str)], body: &str| {
        let fixed = fixed.iter().map(|(column, text)| ((*column).to_owned(), (*text).to_owned()));
        let parser = PageParser::new(dataset.endpoint(), fixed.collect());
        let found = parser.requiring_key_of(&dataset).find(Bytes::from(body.to_owned()));
        found.map(|page| page.items).map_err(|error| error.to_string())
    };
    for header in ["id,team,at", "id,team,start", "note,at,team,id"] {
        assert_eq!(find(&[], &format!("{header}\n")), Ok(0), "{header}");
    }
    assert_eq!(find(&[("team", "t"), ("at", "1")], "id\na\n"), Ok(1));
    for (body, message) in [
        ("Report not found\n", "the header lacks `id`, `team`, `at`: it is `Report not found`"),
        ("id;team;at\na;b;1\n", "it is `id;team;at`; fields must be separated by commas"),
        ("id\tteam\tat\n", "fields must be separated by commas"),
        ("id,team\na,b\n", "the header lacks `at`"),
        ("id,team,at\na,b\n", "found record with 2 fields, but the previous record has 3 fields"),
        ("id,team,at\na,b,1,x\n", "found record with 4 fields"),
        ("\u{1b}[2Jx\n", "it is `\\u{1b}[2Jx`"),
    ] {
        let error = find(&[], body).unwrap_err();
        assert!(error.contains(message), "{body}: {error}");
    }
}

#[test]
fn a_reply_says_whether_it_has_the_list_and_what_it_has_instead() {
    let found = |body: &str| find("rows = '/data/cases'", &[], body).unwrap();
    for body in [
        "null",
        r#"{"data": null}"#,
        r#"{"data": {"cases": null}}"#,
        r#"{"data": {"cases": []}, "n": 1}"#,
    ] {
        assert!(found(body).has_list && found(body).items == 0, "{body}");
    }
    for (body, keys) in [
        ("{}", &[][..]),
        (r#"{"data": []}"#, &["/data"]),
        (r#"{"data": {"Cases": [{}]}, "n": 1}"#, &["/data", "/data/Cases", "/n"]),
    ] {
        assert!(!found(body).has_list && found(body).items == 0, "{body}");
        assert_eq!(found(body).keys, keys, "{body}");
    }
    for (body, what) in [
        (r#""x""#, "the response is a text"),
        ("[]", "there is no list"),
        ("[{}]", "the response is a list"),
        (r#"{"data": 5}"#, "`/data` is a number"),
        (r#"{"data": {"cases": "no"}}"#, "`/data/cases` is a text"),
        (
            r#"{"data": {"cases": {"error": 1}}}"#,
            "`/data/cases` is an object; the response has `/data`, `/data/cases`, `/data/cases/error`",
        ),
        (r#"{"data": {"cases": true}}"#, "`/data/cases` is true"),
    ] {
        match find("rows = '/data/cases'", &[], body) {
            Err(error) => assert!(error.to_string().contains(what), "{body}: {error}"),
            Ok(page) => assert!(!page.has_list && what == "there is no list", "{body}"),
        }
    }
    let repeated = r#"{"data": {"cases": [1]}, "data": {"cases": [2, 3]}}"#;
    assert_eq!(found(repeated).items, 3, "a repeated key loses no row");
    let star = |body: &str| find("rows = '*'", &[], body).unwrap().has_list;
    assert!(star("null") && star("[]") && star(r#"{"resultSet": null}"#));
    assert!(!star("{}") && !star(r#"{"error": "x", "list": null}"#));
    let many: String = (0..1_000).map(|n| format!("\"k{n}\": 0,")).collect();
    assert_eq!(found(&format!("{{{many} \"end\": 0}}")).keys.len(), MAX_KEYS);
}

#[test]
fn a_count_is_a_whole_number_in_any_form() {
    let endpoint = "rows = '/rows'\ntotal = '/total'\npages = '/total'\npaging = 'page-number'\n\
        page_size = 9\nquery = { page = '{page}' }";
    let total = |total: &str| {
        find(endpoint, &[], &format!(r#"{{"total": {total}, "rows": []}}"#)).unwrap().total
    };
    for form in ["12", "12.0", "\"12\"", "\" 12 \"", "\"12.00\"", "1.2e1"] {
        assert_eq!(total(form), Some(12), "{form}");
    }
    for form in ["null", "-1", "12.5", "\"many\"", "\"\"", "[12]", "{}", "true", "1e300", "-0.0"] {
        assert_eq!(total(form), None, "{form}");
    }
}

#[test]
fn pages_with_the_same_rows_have_the_same_digest() {
    let digest = |body: &str| find("rows = '/rows'", &[], body).unwrap().digest;
    let first = digest(r#"{"rows": [{"id": 1}, {"id": 2}], "asOf": 1}"#);
    assert_eq!(first, digest(r#"{"asOf": 2, "rows": [{"id": 1}, {"id": 2}]}"#));
    assert_ne!(first, digest(r#"{"rows": [{"id": 2}, {"id": 1}]}"#));
}

/// Changes some bytes of a text, cuts it, or repeats a part.
fn mutated(rng: &mut fastrand::Rng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..bytes.len());
        match rng.u8(..4) {
            0 => bytes[at] = *rng.choice(b"[]{}\",:0nte\\ ;\n<").unwrap(),
            1 => bytes.truncate(at.max(1)),
            2 => bytes.insert(at, rng.u8(..)),
            _ => {
                let part = bytes[at..(at + 9).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

#[test]
fn any_body_is_a_page_or_an_error_and_its_rows_are_json() {
    let json = r#"{"data": {"cases": [{"id": "a", "data": [{"x": 1}]}, {"id": "b"}], "count": "2"}, "next": "/x?y=1", "total": 2.0}"#;
    let csv = "id,at,note\n\"a\",1,\"x\"\"y\"\nb,2,\n";
    let endpoints = [
        ("rows = '/data/cases'\ntotal = '/total'\nnext = '/next'", json),
        ("rows = '/data/cases'\nexplode = ['data']\ntotal = '/data/count'", json),
        ("rows = '*'\nnext = '/data/cases'", json),
        ("rows = ''", json),
        ("rows = ''\nformat = 'csv'", csv),
    ];
    let parsers = endpoints.map(|(endpoint, body)| {
        let dataset = dataset(endpoint);
        let parser = PageParser::new(dataset.endpoint(), vec![("at".to_owned(), "1".to_owned())]);
        (parser.requiring_key_of(&dataset), body)
    });
    let mut rng = fastrand::Rng::with_seed(3);
    let mut pages = 0;
    for _ in 0..40_000 {
        let (parser, body) = rng.choice(&parsers).unwrap();
        let body = mutated(&mut rng, body);
        let found = parser.find(Bytes::from(body.clone()));
        if let Ok(page) = parser.find_valid(Bytes::from(body.clone())) {
            let texts = |page: &RawPage| page.rows().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(found.map(|page| texts(&page)).ok(), Some(texts(&page)));
            pages += 1;
            for row in page.rows() {
                assert!(serde_json::from_str::<Value>(row).is_ok(), "{body:?}: {row}");
            }
        }
    }
    assert!(pages > 800, "{pages}");
}

#[test]
fn an_error_about_the_header_of_csv_quotes_no_value_if_values_are_hidden() {
    let dataset = dataset("rows = ''\nformat = 'csv'");
    let parser = PageParser::new(dataset.endpoint(), Vec::new()).requiring_key_of(&dataset);
    let find = |hides| {
        let parser = parser.clone().hiding_values(hides);
        parser.find(Bytes::from_static("Zoë,+4930123\n".as_bytes())).unwrap_err().to_string()
    };
    assert!(find(false).contains("it is `Zoë,+4930123`"), "{}", find(false));
    assert!(find(true).ends_with("the header lacks `id`, `at`"), "{}", find(true));
}

#[test]
fn a_csv_record_that_is_not_utf8_costs_itself() {
    let dataset = dataset("rows = ''\nformat = 'csv'");
    let parser = PageParser::new(dataset.endpoint(), Vec::new());
    let find = |body: &'static [u8]| parser.find(Bytes::from_static(body));
    let page = find(b"id,at\na,1\n\"caf\xe9\",2\r\nb,3\n").unwrap();
    let rows: Vec<_> = page.ranges().map(|(_, row)| row).collect();
    let expected: [&[u8]; 3] =
        [br#"{"at":"1","id":"a"}"#, b"\"caf\xe9\",2", br#"{"at":"3","id":"b"}"#];
    assert_eq!((page.items, rows), (3, expected.into()));
    assert!(matches!(find(b"i\xff,at\na,1\n"), Err(PageError::NotCsv(_))));
}

#[test]
fn an_item_that_is_not_json_costs_itself() {
    let find = |endpoint: &str, body: &[u8]| -> Option<Vec<Vec<u8>>> {
        let dataset = dataset(endpoint);
        let parser = PageParser::new(dataset.endpoint(), Vec::new());
        let page = parser.find(Bytes::from(body.to_vec())).ok()?;
        Some(page.ranges().map(|(_, row)| row.to_vec()).collect())
    };
    for bad in [&b"{\"data\": [{\"a\": NaN}]}"[..], b"{\"n\": \"caf\xe9\", \"data\": []}", b"nul"] {
        let item = br#"{"n": 1, "data": [{"a": 1}]}"#.as_slice();
        let items = [item, bad, item].join(b", ".as_slice());
        let row = br#"{"n":1,"a": 1}"#.as_slice();
        let body = [b"{\"results\": [".as_slice(), &items, b"]}"].concat();
        assert_eq!(find(EXPLODE, &body).unwrap(), [row, bad, row]);
        let only_list = "rows = '*'\nexplode = ['data', 'more']";
        let inner =
            [b"{\"total\": 3, \"page\": {\"results\": [".as_slice(), &items, b"]}}"].concat();
        for body in [&body, &inner] {
            assert_eq!(find(only_list, body).unwrap(), [row, bad, row]);
        }
        let several = [b"{\"more\": [], \"results\": [".as_slice(), &items, b"]}"].concat();
        assert_eq!(find(only_list, &several), None);
        assert_eq!(find(only_list, &body[..body.len() - 2]), None);
    }
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
