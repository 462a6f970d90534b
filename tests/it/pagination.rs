//! Every form of pagination with every form of pages: all rows are fetched exactly once, or the run
//! ends with an error that names the cursor, the link or the host (G8, G10).

use crate::common::{
    paged_api::{End, Form, PageSizes, PagingFault, ROWS, run_scenario},
    stub_backfill::backfill,
    stub_transport::Stub,
};

/// Forms with page numbers or offsets, where a page without rows is the last.
const NUMBERED: [Form; 5] =
    [Form::PageInBody, Form::PageInQuery, Form::OffsetInQuery, Form::OffsetInBody, Form::Parent];
/// Forms in which a page names the next one.
const NAMED: [Form; 9] = [
    Form::CursorInBody,
    Form::CursorInQuery,
    Form::PageToken,
    Form::WholeLink,
    Form::RootedLink,
    Form::QueryLink,
    Form::LinkFromPost,
    Form::Job,
    Form::ParentByCursor,
];

/// Fetches all pages, and expects every row once.
fn expect_all(form: Form, sizes: PageSizes, end: End) {
    if matches!((sizes, end), (PageSizes::Nothing, End::NoList)) {
        return expect_malformed(form);
    }
    let result = run_scenario(form, sizes, end, PagingFault::None);
    assert_eq!((result.code, result.gaps), (0, Vec::new()), "{form:?} {sizes:?} {end:?}");
    assert_eq!(result.rows, form.rows(sizes), "{form:?} {sizes:?} {end:?}: {:#?}", result.requests);
}

/// Expects that a first page without the list of rows is not taken for an empty day.
fn expect_malformed(form: Form) {
    let result = run_scenario(form, PageSizes::Nothing, End::NoList, PagingFault::None);
    assert_eq!((result.code, result.rows.len(), result.gaps.len()), (1, 0, 1), "{form:?}");
    let reason = "there is no list of rows at `/rows`: the response is an empty object";
    assert!(result.gaps[0].contains(reason), "{form:?}: {:?}", result.gaps);
}

/// Sizes that every form of paging must cope with.
const SIZES: [PageSizes; 5] = [
    PageSizes::Even,
    PageSizes::ShortLast,
    PageSizes::ShortMiddle,
    PageSizes::Sliding,
    PageSizes::Nothing,
];

#[test]
fn numbered_pages_end_only_with_a_page_without_rows() {
    for form in NUMBERED {
        for sizes in SIZES {
            for end in [End::EmptyPage, End::NoList, End::NullList, End::NoContent] {
                expect_all(form, sizes, end);
            }
        }
    }
}

#[test]
fn numbered_pages_end_with_a_page_that_names_no_next_page() {
    for form in [Form::PageWithNext, Form::OffsetWithNext] {
        for sizes in SIZES {
            for end in
                [End::NoKey, End::Null, End::EmptyText, End::False, End::NoContent, End::EmptyPage]
            {
                expect_all(form, sizes, end);
            }
        }
    }
}

#[test]
fn linked_pages_end_with_a_page_that_names_no_next_page() {
    for form in NAMED {
        for sizes in SIZES.into_iter().chain([PageSizes::EmptyMiddle]) {
            for end in
                [End::NoKey, End::Null, End::EmptyText, End::EmptyPage, End::NoList, End::NoContent]
            {
                expect_all(form, sizes, end);
            }
        }
    }
}

#[test]
fn without_pagination_one_request_fetches_all_rows() {
    for end in [End::NoKey, End::EmptyPage] {
        expect_all(Form::None, PageSizes::Whole, end);
        expect_all(Form::None, PageSizes::Nothing, end);
    }
    let result = run_scenario(Form::None, PageSizes::Whole, End::NoKey, PagingFault::None);
    assert_eq!((result.rows.len(), result.requests.len()), (ROWS, 1));
}

/// The reason of the only gap that a fault leaves.
fn gap(form: Form, fault: PagingFault) -> String {
    let result = run_scenario(form, PageSizes::ShortLast, End::NoKey, fault);
    assert!(result.rows.is_empty(), "{form:?} {fault:?}: an incomplete shard is not committed");
    assert!(result.requests.len() < 1_000, "{form:?} {fault:?}");
    assert_eq!(result.gaps.len(), 1, "{form:?} {fault:?}: {:?}", result.gaps);
    result.gaps[0].clone()
}

#[test]
fn g8_a_repeated_cursor_or_link_is_named() {
    for form in NAMED {
        let gap = gap(form, PagingFault::Repeats);
        assert!(gap.contains(&format!("{}` for the second time", form.next(1))), "{form:?}: {gap}");
    }
}

#[test]
fn g8_a_cycle_of_pages_is_named() {
    for form in NAMED {
        let gap = gap(form, PagingFault::Circles);
        assert!(gap.contains("page 4 has the same rows as an earlier page"), "{form:?}: {gap}");
    }
}

#[test]
fn g8_an_endless_series_of_empty_pages_is_bounded() {
    for form in NAMED {
        let gap = gap(form, PagingFault::Empties);
        assert!(
            gap.contains("100 pages in a row have no rows, and the next is `"),
            "{form:?}: {gap}"
        );
    }
}

#[test]
fn g10_a_link_to_another_host_is_not_followed() {
    for form in [Form::WholeLink, Form::RootedLink, Form::QueryLink, Form::LinkFromPost] {
        for (link, host) in [
            ("https://evil.example/rows?cursor=c1", "https://evil.example,"),
            ("//evil.example/rows", "http://evil.example,"),
            ("/\\evil.example/rows", "http://evil.example,"),
            ("http://api.example@evil.example/", "http://evil.example,"),
            ("file:///etc/passwd", "null,"),
        ] {
            let result =
                run_scenario(form, PageSizes::ShortLast, End::NoKey, PagingFault::Link(link));
            assert_eq!(result.gaps.len(), 1, "{form:?} {link}");
            assert!(
                result.gaps[0].contains(&format!("is said to be at {host}")),
                "{link}: {:?}",
                result.gaps
            );
            assert_eq!(result.requests.len(), 1, "{form:?} {link}: {:?}", result.requests);
        }
    }
    let gap = gap(Form::WholeLink, PagingFault::Link("http://[broken"));
    assert!(gap.contains("`http://[broken` is not a valid link"), "{gap}");
}

/// A dataset whose rows have a version.
const VERSIONS: &str = "
    [dataset.rows]
    version = 1
    id = 'id'
    time = 'at'
    newest = 'changed'
    columns = 'row'
    query = { path = '/rows', query = { page = '{page}' }, rows = '', paging = 'page-number', page_size = 2 }
    [type.row]
    id = 'string'
    team = 'string'
    at = 'timestamp'
    changed = 'timestamp'
";

#[test]
fn the_copy_that_changed_last_wins_in_any_order() {
    let copy = |team: &str, minute: &str| {
        format!(
            r#"{{"id": "r", "team": "{team}", "at": "2024-01-01T00:00:00Z", "changed": {minute}}}"#
        )
    };
    let (old, new) =
        (copy("old", "\"2024-01-01T00:01:00Z\""), copy("new", "\"2024-01-01T00:02:00Z\""));
    let bare = copy("bare", "null");
    for pages in [
        [format!("[{old}]"), format!("[{new}]")],
        [format!("[{new}]"), format!("[{old}]")],
        [format!("[{new},{old}]"), format!("[{bare}]")],
        [format!("[{bare},{new}]"), format!("[{old}]")],
        [format!("[{bare}]"), format!("[{old},{new}]")],
    ] {
        let description = format!("{pages:?}");
        let stub = Stub::new("/oauth/token", move |request| {
            (200, pages.get(request.number("page") - 1).map_or("[]", String::as_str).to_owned())
        });
        assert_eq!(backfill(VERSIONS, &stub).rows, ["new r"], "{description}");
    }
}
