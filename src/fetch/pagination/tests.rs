use serde_json::json;

use super::{position::MAX_EMPTY_PAGES, *};
use crate::catalog;

/// A pager of an endpoint with these keys, 10 rows per page.
fn pager(endpoint: &str) -> Pager {
    let catalog = format!(
        "[dataset.rows]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'row'\n\
         [dataset.rows.query]\npath = '/v1/rows'\nrows = ''\npage_size = 10\nbucket = 'own'\n{endpoint}\n\
         [dataset.teams]\nversion = 1\nid = 'id'\ntime = 'at'\nsnapshot = true\ncolumns = 'row'\n\
         query = {{ path = '/teams', rows = '', paging = 'none' }}\n\
         [type.row]\nid = 'string'\nat = 'timestamp'\n"
    );
    let dataset = Arc::clone(&catalog::read("test", &catalog).unwrap().datasets["rows"]);
    let context = RequestContext {
        api: "https://api.example/".parse().unwrap(),
        api_version: String::new(),
        now: 0,
    };
    Pager::new(
        &dataset,
        dataset.endpoint(),
        Interval::day_of(0),
        u32::MAX,
        &Arc::new(context),
        &Arc::default(),
    )
}

fn page(items: u64, next: &str) -> RawPage {
    page_with_total(items, next, None)
}

fn page_with_total(items: u64, next: &str, total: Option<u64>) -> RawPage {
    let mut page = RawPage::default();
    (page.items, page.total) = (items, total);
    page.next = Some(next.to_owned()).filter(|next| !next.is_empty());
    page
}

/// A response of status 200.
fn ok(body: impl Into<Bytes>) -> Response<Bytes> {
    Response::new(body.into())
}

const PAGES: &str = "paging = 'page-number'\nquery = { page = '{page}' }";
const OFFSET: &str = "paging = 'offset'\nquery = { skip = '{offset}' }";
const CURSOR: &str =
    "paging = 'cursor'\nnext = '/next'\nmethod = 'POST'\nbody = { cursor = '{cursor}' }";
const LINK: &str = "paging = 'next-link'\nnext = '/next'\nquery = { top = '{page_size}' }";

/// The targets of all requests that can be sent before another reply.
fn targets(pager: &mut Pager) -> Vec<String> {
    std::iter::from_fn(|| pager.next_request()).map(|request| request.target).collect()
}

#[test]
fn numbered_pages_are_requested_ahead_as_far_as_the_total_suggests() {
    let mut pager = pager(PAGES);
    assert_eq!(targets(&mut pager), ["/v1/rows?page=1"]);
    assert_eq!(pager.advance(&page_with_total(10, "", Some(21))), Ok(false));
    let ahead = ["/v1/rows?page=2", "/v1/rows?page=3", "/v1/rows?page=4"];
    assert_eq!(targets(&mut pager), ahead.map(str::to_owned).to_vec());
    for (items, ends) in [(10, false), (1, false), (0, true)] {
        assert_eq!(pager.advance(&page(items, "")), Ok(ends));
    }
    assert!(pager.is_finished() && pager.next_request().is_none());
}

#[test]
fn an_absurd_total_is_only_a_hint() {
    let mut pager = pager(&format!("{PAGES}\ntotal = '/total'"));
    pager.page_size = 1;
    pager.next_request();
    assert_eq!(pager.advance(&page_with_total(1, "", Some(u64::MAX))), Ok(false));
    assert_eq!(pager.advance(&page(0, "")), Ok(true));
}

#[test]
fn an_offset_advances_by_the_rows_received_up_to_the_depth() {
    let mut pager = pager(&format!("{OFFSET}\ndepth = 20"));
    for (target, items) in [("0", 10), ("10", 3), ("13", 7)] {
        assert_eq!(targets(&mut pager), [format!("/v1/rows?skip={target}")]);
        assert_eq!(pager.advance(&page(items, "")), Ok(false));
    }
    assert!(
        pager.next_request().is_none() && !pager.is_finished(),
        "20 rows are as deep as it goes"
    );
}

#[test]
fn a_depth_below_the_page_size_still_allows_the_first_page() {
    for endpoint in [PAGES, OFFSET] {
        let mut pager = pager(&format!("{endpoint}\ndepth = 5"));
        assert_eq!(targets(&mut pager).len(), 1);
        assert_eq!(pager.advance(&page(10, "")), Ok(false));
        assert!(pager.next_request().is_none() && !pager.is_finished());
    }
}

#[test]
fn a_cursor_is_left_out_of_the_first_request_and_must_not_repeat() {
    let mut pager = pager(CURSOR);
    assert_eq!(pager.next_request().unwrap().body, Some(json!({})));
    assert!(pager.next_request().is_none(), "the next is not known yet");
    assert_eq!(pager.advance(&page(10, "a")), Ok(false));
    assert_eq!(pager.next_request().unwrap().body, Some(json!({ "cursor": "a" })));
    let error = pager.advance(&page(10, "a")).unwrap_err().to_string();
    assert_eq!(error, "pagination failed: the next page is `a` for the second time");
}

#[test]
fn a_link_is_relative_to_its_page_and_counts_against_the_same_bucket() {
    for (link, target) in [
        ("https://api.example/v2/x?c=1", "https://api.example/v2/x?c=1"),
        ("https://api.example:443/x", "https://api.example/x"),
        ("/x?c=1", "https://api.example/x?c=1"),
        ("?c=1", "https://api.example/v1/rows?c=1"),
        ("more?c=1", "https://api.example/v1/more?c=1"),
    ] {
        let mut pager = pager(LINK);
        assert_eq!(targets(&mut pager), ["/v1/rows?top=10"]);
        assert_eq!(pager.advance(&page(10, link)), Ok(false), "{link}");
        let request = pager.next_request().unwrap();
        assert_eq!(
            (request.target.as_str(), request.bucket.as_deref()),
            (target, Some("own")),
            "{link}"
        );
        assert!(request.method == Method::GET && request.body.is_none() && !request.anonymous);
    }
    let mut pager = pager(LINK);
    pager.next_request();
    pager.advance(&page(1, "/deeper/rows?c=1")).unwrap();
    pager.next_request();
    pager.advance(&page(1, "?c=2")).unwrap();
    assert_eq!(pager.next_request().unwrap().target, "https://api.example/deeper/rows?c=2");
}

#[test]
fn g10_a_link_to_another_host_scheme_or_port_is_refused() {
    for (link, host) in [
        ("https://evil.example/rows", "https://evil.example"),
        ("//evil.example", "https://evil.example"),
        ("\\\\evil.example", "https://evil.example"),
        ("http://api.example/rows", "http://api.example"),
        ("https://api.example:8443/rows", "https://api.example:8443"),
        ("https://api.example.evil.example", "https://api.example.evil.example"),
    ] {
        let mut pager = pager(LINK);
        pager.next_request();
        let error = pager.advance(&page(10, link)).unwrap_err().to_string();
        assert!(error.contains(&format!("is said to be at {host}, which")), "{link}: {error}");
        assert!(pager.next_request().is_none(), "{link}");
    }
}

#[test]
fn g8_pages_end_at_the_limit_whatever_the_server_says() {
    for endpoint in [PAGES, OFFSET, CURSOR] {
        let mut pager = pager(endpoint);
        let error =
            (0..).find_map(|number| pager.advance(&page(1, &number.to_string())).err()).unwrap();
        assert!(
            error.to_string().contains("more than 100000 pages; make fetch.shard smaller"),
            "{error}"
        );
        assert_eq!(pager.position.received, MAX_PAGES);
    }
}

#[test]
fn g8_consecutive_pages_without_rows_are_limited() {
    let mut pager = pager(CURSOR);
    for number in 1..=3 * MAX_EMPTY_PAGES {
        let items = u64::from(number % MAX_EMPTY_PAGES == 0);
        assert_eq!(pager.advance(&page(items, &number.to_string())), Ok(false), "{number}");
    }
    let error = (0..)
        .find_map(|number| pager.advance(&page(0, &format!("x{number}"))).err())
        .unwrap()
        .to_string();
    assert!(error.contains("100 pages in a row have no rows, and the next is `x99`"), "{error}");
}

#[test]
fn every_parent_is_queried_once_from_its_first_page() {
    let child = format!(
        "{}\neach = {{ dataset = 'teams', column = 'id' }}",
        PAGES.replace("page =", "t = '{each}', page =")
    );
    let mut pager = pager(&child);
    assert!(pager.lacks_parents());
    pager.set_parents(["a/b", "c", "a/b"].map(str::to_owned).to_vec());
    for (target, items, ends) in
        [("page=1&t=a%2Fb", 1, false), ("page=2&t=a%2Fb", 0, true), ("page=1&t=c", 0, true)]
    {
        let requested = pager.next_request().unwrap().target;
        let mut pairs: Vec<_> = requested.split_once('?').unwrap().1.split('&').collect();
        pairs.sort_unstable();
        assert_eq!(pairs.join("&"), target);
        assert_eq!(pager.advance(&page(items, "")), Ok(ends));
    }
    assert!(pager.is_finished() && pager.next_request().is_none());
    pager.set_parents(Vec::new());
    assert!(pager.is_finished(), "without parents there are no rows");
}

#[test]
fn a_response_cut_to_its_envelope_is_not_the_last_page() {
    let mut pager = pager(
        &PAGES.replace("'page-number'", "'page-number'\ntotal = '/total'").replace("rows = ''", ""),
    );
    pager.next_request();
    let read = |body: &'static str| pager.response_reader()(ok(body));
    assert!(read("[]").unwrap_err().to_string().contains("neither rows nor a total"));
    let mut no_content = ok("");
    *no_content.status_mut() = StatusCode::NO_CONTENT;
    let nothing = pager.response_reader()(no_content).unwrap();
    assert!(nothing.is_nothing && nothing.items == 0);
}

#[test]
fn a_missing_total_that_is_a_hint_makes_an_empty_page_suspicious_once() {
    let keys = |total_is: &str| {
        let paging = format!("'page-number'\ntotal = '/total'\ntotal_is = '{total_is}'");
        PAGES.replace("'page-number'", &paging)
    };
    for (total_is, accepted_in_the_end) in [("hint", true), ("exact", false)] {
        let mut pager = pager(&keys(total_is));
        pager.next_request();
        let reader = pager.response_reader();
        let read = || reader(ok("[]"));
        assert!(read().unwrap_err().to_string().contains("neither rows nor a total"), "{total_is}");
        assert_eq!(read().is_ok(), accepted_in_the_end, "{total_is}");
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
