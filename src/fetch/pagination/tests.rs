use serde_json::json;

use super::*;
use crate::catalog;

/// A query of a way with these keys, 10 rows a page.
fn query(endpoint: &str) -> Pager {
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

fn reply(items: u64, next: &str) -> RawPage {
    counted(items, next, None)
}

fn counted(items: u64, next: &str, total: Option<u64>) -> RawPage {
    let mut reply = RawPage::default();
    (reply.items, reply.total) = (items, total);
    reply.next = Some(next.to_owned()).filter(|next| !next.is_empty());
    reply
}

const PAGES: &str = "paging = 'page-number'\nquery = { page = '{page}' }";
const OFFSET: &str = "paging = 'offset'\nquery = { skip = '{offset}' }";
const CURSOR: &str =
    "paging = 'cursor'\nnext = '/next'\nmethod = 'POST'\nbody = { cursor = '{cursor}' }";
const LINK: &str = "paging = 'next-link'\nnext = '/next'\nquery = { top = '{page_size}' }";

/// The targets of all requests that can be sent before another reply.
fn targets(query: &mut Pager) -> Vec<String> {
    std::iter::from_fn(|| query.next()).map(|call| call.target).collect()
}

#[test]
fn pages_that_are_counted_are_asked_for_ahead_and_one_more() {
    let mut query = query(PAGES);
    assert_eq!(targets(&mut query), ["/v1/rows?page=1"]);
    assert_eq!(query.advance(&counted(10, "", Some(21))), Ok(false));
    let ahead = ["/v1/rows?page=2", "/v1/rows?page=3", "/v1/rows?page=4"];
    assert_eq!(targets(&mut query), ahead.map(str::to_owned).to_vec());
    for (items, ends) in [(10, false), (1, false), (0, true)] {
        assert_eq!(query.advance(&reply(items, "")), Ok(ends));
    }
    assert!(query.is_whole() && query.next().is_none());
}

#[test]
fn a_total_without_measure_is_a_hint_like_any_other() {
    let mut query = query(&format!("{PAGES}\ntotal = '/total'"));
    query.page_size = 1;
    query.next();
    assert_eq!(query.advance(&counted(1, "", Some(u64::MAX))), Ok(false));
    assert_eq!(query.advance(&reply(0, "")), Ok(true));
}

#[test]
fn an_offset_advances_by_the_rows_received_as_far_as_paging_reaches() {
    let mut query = query(&format!("{OFFSET}\ndepth = 20"));
    for (target, items) in [("0", 10), ("10", 3), ("13", 7)] {
        assert_eq!(targets(&mut query), [format!("/v1/rows?skip={target}")]);
        assert_eq!(query.advance(&reply(items, "")), Ok(false));
    }
    assert!(query.next().is_none() && !query.is_whole(), "20 rows are as deep as it goes");
}

#[test]
fn a_depth_below_a_page_still_reaches_the_first() {
    for endpoint in [PAGES, OFFSET] {
        let mut query = query(&format!("{endpoint}\ndepth = 5"));
        assert_eq!(targets(&mut query).len(), 1);
        assert_eq!(query.advance(&reply(10, "")), Ok(false));
        assert!(query.next().is_none() && !query.is_whole());
    }
}

#[test]
fn a_cursor_is_left_out_of_the_first_request_and_repeats_never() {
    let mut query = query(CURSOR);
    assert_eq!(query.next().unwrap().body, Some(json!({})));
    assert!(query.next().is_none(), "the next is not known yet");
    assert_eq!(query.advance(&reply(10, "a")), Ok(false));
    assert_eq!(query.next().unwrap().body, Some(json!({ "cursor": "a" })));
    let fault = query.advance(&reply(10, "a")).unwrap_err().to_string();
    assert_eq!(fault, "the pages lead nowhere: the next page is `a` for the second time");
}

#[test]
fn a_link_is_read_from_where_its_page_was_and_pays_the_same_limit() {
    for (link, target) in [
        ("https://api.example/v2/x?c=1", "https://api.example/v2/x?c=1"),
        ("https://api.example:443/x", "https://api.example/x"),
        ("/x?c=1", "https://api.example/x?c=1"),
        ("?c=1", "https://api.example/v1/rows?c=1"),
        ("more?c=1", "https://api.example/v1/more?c=1"),
    ] {
        let mut query = query(LINK);
        assert_eq!(targets(&mut query), ["/v1/rows?top=10"]);
        assert_eq!(query.advance(&reply(10, link)), Ok(false), "{link}");
        let call = query.next().unwrap();
        assert_eq!((call.target.as_str(), call.bucket.as_deref()), (target, Some("own")), "{link}");
        assert!(call.method == Method::GET && call.body.is_none() && !call.anonymous);
    }
    let mut query = query(LINK);
    query.next();
    query.advance(&reply(1, "/deeper/rows?c=1")).unwrap();
    query.next();
    query.advance(&reply(1, "?c=2")).unwrap();
    assert_eq!(query.next().unwrap().target, "https://api.example/deeper/rows?c=2");
}

#[test]
fn g10_a_link_to_another_host_scheme_or_port_is_refused_by_its_name() {
    for (link, host) in [
        ("https://evil.example/rows", "https://evil.example"),
        ("//evil.example", "https://evil.example"),
        ("\\\\evil.example", "https://evil.example"),
        ("http://api.example/rows", "http://api.example"),
        ("https://api.example:8443/rows", "https://api.example:8443"),
        ("https://api.example.evil.example", "https://api.example.evil.example"),
    ] {
        let mut query = query(LINK);
        query.next();
        let fault = query.advance(&reply(10, link)).unwrap_err().to_string();
        assert!(fault.contains(&format!("is said to be at {host}, which")), "{link}: {fault}");
        assert!(query.next().is_none(), "{link}");
    }
}

#[test]
fn g8_a_chain_has_a_last_page_whatever_the_server_says() {
    for endpoint in [PAGES, OFFSET, CURSOR] {
        let mut query = query(endpoint);
        let fault =
            (0..).find_map(|page| query.advance(&reply(1, &page.to_string())).err()).unwrap();
        assert!(
            fault.to_string().contains("more than 100000 pages; make fetch.shard smaller"),
            "{fault}"
        );
        assert_eq!(query.chain.received, MOST_PAGES);
    }
}

#[test]
fn g8_pages_without_rows_are_counted_in_a_row() {
    let mut query = query(CURSOR);
    for page in 1..=3 * MOST_EMPTY {
        let items = u64::from(page % MOST_EMPTY == 0);
        assert_eq!(query.advance(&reply(items, &page.to_string())), Ok(false), "{page}");
    }
    let fault = (0..)
        .find_map(|page| query.advance(&reply(0, &format!("x{page}"))).err())
        .unwrap()
        .to_string();
    assert!(fault.contains("100 pages in a row have no rows, and the next is `x99`"), "{fault}");
}

#[test]
fn every_parent_is_asked_for_once_from_its_first_page() {
    let each = format!(
        "{}\neach = {{ dataset = 'teams', column = 'id' }}",
        PAGES.replace("page =", "t = '{each}', page =")
    );
    let mut query = query(&each);
    assert!(query.lacks_parents());
    query.for_each(["a/b", "c", "a/b"].map(str::to_owned).to_vec());
    for (target, items, ends) in
        [("page=1&t=a%2Fb", 1, false), ("page=2&t=a%2Fb", 0, true), ("page=1&t=c", 0, true)]
    {
        let requested = query.next().unwrap().target;
        let mut pairs: Vec<_> = requested.split_once('?').unwrap().1.split('&').collect();
        pairs.sort_unstable();
        assert_eq!(pairs.join("&"), target);
        assert_eq!(query.advance(&reply(items, "")), Ok(ends));
    }
    assert!(query.is_whole() && query.next().is_none());
    query.for_each(Vec::new());
    assert!(query.is_whole(), "without parents there are no rows");
}

#[test]
fn a_reply_cut_to_its_envelope_is_not_the_end() {
    let mut query = query(
        &PAGES.replace("'page-number'", "'page-number'\ntotal = '/total'").replace("rows = ''", ""),
    );
    query.next();
    let read =
        |body: &'static str| query.read()(StatusCode::OK, Bytes::from_static(body.as_bytes()));
    assert!(read("[]").unwrap_err().to_string().contains("neither rows nor their number"));
    let nothing = query.read()(StatusCode::NO_CONTENT, Bytes::new()).unwrap();
    assert!(nothing.is_nothing && nothing.items == 0);
}

#[test]
fn g8_a_page_whose_rows_swell_is_too_large_and_no_page_that_cannot_be_read() {
    let read = query("paging = 'none'\nexplode = ['data']").read();
    let body = |elements: usize| {
        let around = "x".repeat(64 * 1024);
        format!(r#"[{{"around": "{around}", "data": [{}]}}]"#, vec!["{}"; elements].join(","))
    };
    assert_eq!(read(StatusCode::OK, body(15).into()).unwrap().rows().count(), 15);
    let fault = read(StatusCode::OK, body(20).into()).unwrap_err();
    assert!(matches!(fault, RequestError::TooLarge(_)), "{fault}");
}
