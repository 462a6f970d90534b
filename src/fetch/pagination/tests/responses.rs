//! Which responses are answers.

use http::StatusCode;

use super::*;
use crate::catalog::{ResponseFormat, RowsAt};

/// What the reader of a pager makes of a response body: the items of a page, or the error.
fn read(pager: &Pager, body: &str) -> Result<u64, String> {
    let read = pager.response_reader()(ok(body.to_owned()));
    read.map(|page| page.items).map_err(|error| error.to_string())
}

/// A pager of numbered pages with their rows at `/rows`, before its first page.
fn first_page(keys: &str) -> Pager {
    let mut pager = pager_of("/rows", &format!("{keys}\n{PAGES}"));
    pager.next_request();
    pager
}

#[test]
fn an_empty_list_is_an_answer_whatever_the_total_says() {
    for total in
        ["", ", \"total\": null", ", \"total\": \"x\"", ", \"total\": -3", ", \"total\": 0.5"]
    {
        for list in ["[]", "null"] {
            for exact in ["hint", "exact"] {
                let pager = first_page(&format!("total = '/total'\ntotal_is = '{exact}'"));
                let body = format!("{{\"rows\": {list}{total}}}");
                assert_eq!(read(&pager, &body), Ok(0), "{body} {exact}");
            }
        }
    }
    let mut no_content = ok("");
    *no_content.status_mut() = StatusCode::NO_CONTENT;
    let nothing = first_page("").response_reader()(no_content).unwrap();
    assert!(nothing.is_nothing && nothing.items == 0);
}

#[test]
fn a_first_page_without_the_list_is_no_answer_unless_something_confirms_it() {
    let keys = "total = '/total'\nwithout_rows = ['/total', '/asOf']";
    for (keys, body, has_rows) in [
        (keys, "{\"total\": 0, \"new\": 1}", Ok(0)),
        (keys, "{\"asOf\": 1}", Ok(0)),
        (keys, "{}", Ok(0)),
        (keys, "{\"asOf\": 1, \"error\": \"x\"}", Err("`/asOf`, `/error`")),
        ("total = '/total'", "{\"total\": 12}", Err("`/total`")),
        ("", "{\"total\": 0}", Err("`/total`")),
        ("", "{}", Err("is an empty object")),
        ("", "{\"items\": [{}]}", Err("`/items`")),
        ("", "{\"\\u001b[2J\": 1}", Err("`/\\u{1b}[2J`")),
    ] {
        let read = read(&first_page(keys), body);
        match has_rows {
            Ok(rows) => assert_eq!(read, Ok(rows), "{body}"),
            Err(instead) => {
                let error = read.unwrap_err();
                assert!(error.contains("there is no list of rows at `/rows`"), "{error}");
                assert!(error.contains(instead), "{error}");
            }
        }
    }
}

#[test]
fn a_later_page_without_the_list_is_the_last_if_it_has_nothing_else_instead() {
    let mut pager = first_page("");
    let first = pager.response_reader()(ok("{\"rows\": [{}], \"total\": 1}")).unwrap();
    advance(&mut pager, &first).unwrap();
    pager.next_request();
    assert_eq!(read(&pager, "{\"total\": 1}"), Ok(0));
    assert_eq!(read(&pager, "{}"), Ok(0));
    let error = read(&pager, "{\"error\": \"busy\"}").unwrap_err();
    assert!(error.contains("the response has only `/error`"), "{error}");
}

#[test]
fn an_empty_first_page_that_contradicts_its_total_is_refused_once_or_if_it_is_exact_always() {
    for (total_is, accepted_in_the_end) in [("hint", true), ("exact", false)] {
        let pager = first_page(&format!("total = '/total'\ntotal_is = '{total_is}'\ndepth = 1000"));
        let reader = pager.response_reader();
        let read = |total: u32| {
            reader(ok(format!("{{\"rows\": [], \"total\": {total}}}"))).map_err(|e| e.to_string())
        };
        assert!(read(7).unwrap_err().contains("no rows, and the total is 7"), "{total_is}");
        assert_eq!(read(7).is_ok(), accepted_in_the_end, "{total_is}");
        assert!(read(1001).is_ok(), "paging does not reach so many: the shard is split");
    }
}

#[test]
fn g8_rows_that_outgrow_their_page_are_too_large_and_not_malformed() {
    let read = pager("paging = 'none'\nexplode = ['data']").response_reader();
    let body = |elements: usize| {
        let around = "x".repeat(64 * 1024);
        format!(r#"[{{"around": "{around}", "data": [{}]}}]"#, vec!["{}"; elements].join(","))
    };
    assert_eq!(read(ok(body(15))).unwrap().rows().count(), 15);
    let error = read(ok(body(20))).unwrap_err();
    assert!(matches!(error, RequestError::TooLarge(_)), "{error}");
}

/// Every endpoint of the built-in catalogs, with the name of its dataset.
fn builtin_endpoints() -> Vec<(String, Arc<Dataset>, Arc<Endpoint>)> {
    let mut endpoints = Vec::new();
    for platform in ["genesys-cloud", "nice-cxone"] {
        for (name, dataset) in &catalog::builtin(platform).unwrap().datasets {
            for endpoint in [&dataset.query, &dataset.job].into_iter().flatten() {
                endpoints.push((
                    format!("{platform} {name}"),
                    Arc::clone(dataset),
                    Arc::clone(endpoint),
                ));
            }
        }
    }
    endpoints
}

#[test]
fn no_builtin_endpoint_takes_an_error_in_a_success_or_another_key_for_an_empty_day() {
    let endpoints = builtin_endpoints();
    assert!(endpoints.len() > 30, "{}", endpoints.len());
    for (name, dataset, endpoint) in endpoints {
        let mut pager = Pager::new(
            &dataset,
            &endpoint,
            Interval::day_of(0),
            u32::MAX,
            &Arc::new(RequestContext::for_tests()),
            &Arc::default(),
        );
        pager.set_parents(vec!["parent".to_owned()]);
        pager.next_request();
        for body in
            [r#"{"error": "busy"}"#, r#"{"message": "x", "status": 500}"#, "Report not found\n"]
        {
            assert!(read(&pager, body).is_err(), "{name}: {body}");
        }
        if endpoint.format == ResponseFormat::Json {
            let RowsAt::JsonPointer(pointer) = &endpoint.rows else {
                assert_eq!(read(&pager, r#"{"list": []}"#), Ok(0), "{name}");
                continue;
            };
            let key = pointer.join("/");
            let error = read(&pager, &format!("{{\"{key}s\": [{{}}]}}")).unwrap_err();
            let instead = format!("no list of rows at `/{key}`: the response has only `/{key}s`");
            assert!(error.contains(&instead), "{name}: {error}");
            for empty in ["[]", "null"] {
                assert_eq!(read(&pager, &format!("{{\"{key}\": {empty}}}")), Ok(0), "{name}");
            }
        }
    }
}
