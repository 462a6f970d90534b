mod last_page;
mod responses;

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::{position::MAX_EMPTY_PAGES, *};
use crate::catalog;

/// A pager of an endpoint with these keys, 10 rows per page, which are the response itself.
fn pager(endpoint: &str) -> Pager {
    pager_of("", endpoint)
}

/// The same with the rows at this place.
fn pager_of(rows: &str, endpoint: &str) -> Pager {
    let catalog = format!(
        "[dataset.rows]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'row'\n\
         [dataset.rows.query]\npath = '/v1/rows'\nrows = '{rows}'\npage_size = 10\nbucket = 'own'\n{endpoint}\n\
         [dataset.teams]\nversion = 1\nid = 'id'\ntime = 'at'\nsnapshot = true\ncolumns = 'row'\n\
         query = {{ path = '/teams', rows = '', paging = 'none' }}\n\
         [type.row]\nid = 'string'\nat = 'timestamp'\n"
    );
    let dataset = Arc::clone(&catalog::read("test", &catalog).unwrap().datasets["rows"]);
    Pager::new(
        &dataset,
        dataset.endpoint(),
        Interval::day_of(0),
        u32::MAX,
        &Arc::new(RequestContext::for_tests()),
        &Arc::default(),
    )
}

fn page(items: u64, next: &str) -> RawPage {
    page_with_total(items, next, None)
}

/// A page whose rows no other page has.
fn page_with_total(items: u64, next: &str, total: Option<u64>) -> RawPage {
    static PAGES: AtomicU64 = AtomicU64::new(0);
    let digest = PAGES.fetch_add(1, Ordering::Relaxed);
    let mut page = RawPage::default();
    (page.digest, page.has_list) = (digest, true);
    (page.items, page.total) = (items, total);
    page.next = Some(next.to_owned()).filter(|next| !next.is_empty());
    page
}

fn advance(pager: &mut Pager, page: &RawPage) -> Result<bool, RequestError> {
    pager.advance(page).map_err(ShardError::into_request_error)
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
    assert_eq!(advance(&mut pager, &page_with_total(10, "", Some(21))), Ok(false));
    let ahead = ["/v1/rows?page=2", "/v1/rows?page=3", "/v1/rows?page=4"];
    assert_eq!(targets(&mut pager), ahead.map(str::to_owned).to_vec());
    for (items, ends) in [(10, false), (1, false), (0, true)] {
        assert_eq!(advance(&mut pager, &page(items, "")), Ok(ends));
    }
    assert!(pager.is_finished() && pager.next_request().is_none());
}

#[test]
fn an_absurd_total_is_only_a_hint() {
    let mut pager = pager(&format!("{PAGES}\ntotal = '/total'"));
    pager.page_size = 1;
    pager.next_request();
    assert_eq!(advance(&mut pager, &page_with_total(1, "", Some(u64::MAX))), Ok(false));
    assert_eq!(advance(&mut pager, &page(0, "")), Ok(true));
}

#[test]
fn an_offset_advances_by_the_rows_received_up_to_the_depth() {
    let mut pager = pager(&format!("{OFFSET}\ndepth = 20"));
    for (target, items) in [("0", 10), ("10", 3), ("13", 7)] {
        assert_eq!(targets(&mut pager), [format!("/v1/rows?skip={target}")]);
        assert_eq!(advance(&mut pager, &page(items, "")), Ok(false));
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
        assert_eq!(advance(&mut pager, &page(10, "")), Ok(false));
        assert!(pager.next_request().is_none() && !pager.is_finished());
    }
}

#[test]
fn a_cursor_is_left_out_of_the_first_request_and_must_not_repeat() {
    let mut pager = pager(CURSOR);
    assert_eq!(pager.next_request().unwrap().body, Some(json!({})));
    assert!(pager.next_request().is_none(), "the next is not known yet");
    assert_eq!(advance(&mut pager, &page(10, "a")), Ok(false));
    assert_eq!(pager.next_request().unwrap().body, Some(json!({ "cursor": "a" })));
    let error = advance(&mut pager, &page(10, "a")).unwrap_err().to_string();
    assert_eq!(error, "pagination failed: the next page is `a` for the second time");
}

#[test]
fn a_link_is_relative_to_its_page_and_counts_against_the_same_bucket() {
    for (link, target) in [
        ("https://api.example/v2/x?c=1", "https://api.example/v2/x?c=1"),
        ("https://api.example:443/x", "https://api.example/x"),
        ("http://api.example/x?c=1", "https://api.example/x?c=1"),
        ("https://api.example:8443/x", "https://api.example/x"),
        ("http://user:secret@API.example:80/x#y", "https://api.example/x"),
        (" /x ", "https://api.example/x"),
        ("/x?c=1", "https://api.example/x?c=1"),
        ("?c=1", "https://api.example/v1/rows?c=1"),
        ("more?c=1", "https://api.example/v1/more?c=1"),
    ] {
        let mut pager = pager(LINK);
        assert_eq!(targets(&mut pager), ["/v1/rows?top=10"]);
        assert_eq!(advance(&mut pager, &page(10, link)), Ok(false), "{link}");
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
    advance(&mut pager, &page(1, "/deeper/rows?c=1")).unwrap();
    pager.next_request();
    advance(&mut pager, &page(1, "?c=2")).unwrap();
    assert_eq!(pager.next_request().unwrap().target, "https://api.example/deeper/rows?c=2");
}

#[test]
fn g10_a_link_to_another_host_is_refused() {
    for (link, host) in [
        ("https://evil.example/rows", "https://evil.example"),
        ("//evil.example", "https://evil.example"),
        ("\\\\evil.example", "https://evil.example"),
        ("http://api.example@evil.example/", "http://evil.example"),
        ("ftp://api.example/rows", "ftp://api.example"),
        ("https://api.example.evil.example", "https://api.example.evil.example"),
    ] {
        let mut pager = pager(LINK);
        pager.next_request();
        let error = advance(&mut pager, &page(10, link)).unwrap_err().to_string();
        assert!(error.contains(&format!("is said to be at {host}, which")), "{link}: {error}");
        assert!(pager.next_request().is_none(), "{link}");
    }
}

#[test]
fn g8_pages_end_at_the_limit_whatever_the_server_says() {
    for endpoint in [PAGES, OFFSET, CURSOR] {
        let mut pager = pager(endpoint);
        let error = (0..)
            .find_map(|number| advance(&mut pager, &page(1, &number.to_string())).err())
            .unwrap();
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
        assert_eq!(advance(&mut pager, &page(items, &number.to_string())), Ok(false), "{number}");
    }
    let error = (0..)
        .find_map(|number| advance(&mut pager, &page(0, &format!("x{number}"))).err())
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
        assert_eq!(advance(&mut pager, &page(items, "")), Ok(ends));
    }
    assert!(pager.is_finished() && pager.next_request().is_none());
    pager.set_parents(Vec::new());
    assert!(pager.is_finished(), "without parents there are no rows");
}

#[test]
fn a_page_with_the_rows_of_an_earlier_page_is_named() {
    for (endpoint, cause) in
        [(PAGES, "ignore the page number"), (OFFSET, "ignore the offset"), (CURSOR, "the cursor")]
    {
        let mut pager = pager(endpoint);
        let mut first = page(10, "a");
        advance(&mut pager, &first).unwrap();
        advance(&mut pager, &page(10, "b")).unwrap();
        first.next = Some("c".to_owned());
        let error = pager.advance(&first).err().unwrap();
        assert!(matches!(error, ShardError::PageRepeated(_)));
        let error = error.into_request_error().to_string();
        assert!(error.contains("page 3 has the same rows as an earlier page"), "{error}");
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn a_total_that_falls_while_rows_are_left_may_have_moved_them() {
    let change = |endpoint: &str, totals: &[(u64, Option<u64>)]| {
        let mut pager = pager(&format!("total = '/total'\n{endpoint}"));
        for &(items, total) in totals {
            advance(&mut pager, &page_with_total(items, "x", total)).unwrap();
        }
        pager.total_change().map(str::to_owned)
    };
    let fell = Some("the total fell from 7 to 6 between two pages".to_owned());
    let grew = Some("the total grew from 7 to 8 between two pages".to_owned());
    let ordered = format!("ordered = true\n{PAGES}");
    for endpoint in [PAGES, OFFSET, &ordered] {
        assert_eq!(change(endpoint, &[(4, Some(7)), (3, Some(6))]), fell);
        assert_eq!(change(endpoint, &[(4, Some(7)), (2, None), (1, Some(6)), (0, Some(6))]), fell);
        assert_eq!(change(endpoint, &[(4, Some(7)), (3, Some(7)), (0, Some(6))]), None);
        assert_eq!(change(endpoint, &[(4, Some(4)), (3, Some(3)), (0, Some(0))]), None);
    }
    assert_eq!(change(PAGES, &[(4, Some(7)), (3, Some(8))]), grew);
    assert_eq!(change(&ordered, &[(4, Some(7)), (3, Some(8))]), None, "new rows come last");
    let link = LINK.replace("next-link'", "cursor'").replace("{page_size}", "{cursor}");
    assert_eq!(change(&link.replace("top", "cursor"), &[(4, Some(7))]), None);
}

#[test]
fn numbered_pages_end_where_the_number_of_pages_or_the_next_page_says() {
    let ends = |keys: &str, pages: Option<u64>, next: &str| {
        let mut pager = pager(&format!("{keys}\n{PAGES}"));
        let mut page = page(10, next);
        page.pages = pages;
        advance(&mut pager, &page).unwrap()
    };
    let (pages, both) = ("pages = '/pages'", "pages = '/pages'\nnext = '/next'");
    assert!(ends(pages, Some(1), "") && !ends(pages, Some(2), ""));
    assert!(!ends(pages, None, "") && !ends(pages, Some(0), ""), "only an empty page is the last");
    assert!(ends(both, Some(1), "") && !ends(both, Some(2), "") && !ends(both, Some(1), "/x"));
    assert!(ends(both, None, "") && !ends(both, None, "/x"));
}

#[test]
fn a_full_first_page_without_the_place_of_the_next_page_may_lack_pages() {
    let may_lack = |page: RawPage| {
        let mut pager = pager(&format!("next = '/next'\n{PAGES}"));
        advance(&mut pager, &page).unwrap();
        pager.may_lack_pages(&page)
    };
    assert!(may_lack(page(10, "")) && may_lack(page_with_total(10, "", Some(11))));
    assert!(!may_lack(page(9, "")) && !may_lack(page_with_total(10, "", Some(10))));
    let mut last = page(10, "");
    last.has_next_key = true;
    assert!(!may_lack(last), "null: it is the last");
}

#[test]
fn a_link_header_leads_to_the_next_page() {
    let mut pager = pager("paging = 'link-header'\nquery = { top = '{page_size}' }");
    assert_eq!(targets(&mut pager), ["/v1/rows?top=10"]);
    let mut response = ok("[{}]");
    let link = "</v1/rows?c=0>; rel=\"prev\", <?c=1>; rel=\"next\"";
    response.headers_mut().insert("link", link.parse().unwrap());
    let page = pager.response_reader()(response).unwrap();
    assert_eq!(advance(&mut pager, &page), Ok(false));
    assert_eq!(targets(&mut pager), ["https://api.example/v1/rows?c=1"]);
    let last = pager.response_reader()(ok("[{\"last\": 1}]")).unwrap();
    assert_eq!(advance(&mut pager, &last), Ok(true));
}
