//! Every form of paging against everything that pages do: all rows come exactly once, or the run ends
//! with an error that names the cursor, the link or the host (G8, G10).

use crate::common::{
    paged_api::{Cut, End, Form, PagingFault, ROWS, backfill, run_scenario},
    stub_transport::Stub,
};

/// The forms in which pages have numbers, and one without rows is the last.
const NUMBERED: [Form; 5] =
    [Form::PageInBody, Form::PageInQuery, Form::OffsetInQuery, Form::OffsetInBody, Form::Each];
/// The forms in which a page names the next.
const NAMED: [Form; 9] = [
    Form::CursorInBody,
    Form::CursorInQuery,
    Form::PageToken,
    Form::WholeLink,
    Form::RootedLink,
    Form::QueryLink,
    Form::LinkFromPost,
    Form::Job,
    Form::EachByCursor,
];

/// Plays a form, and demands all rows, each once.
fn expect_all(form: Form, cut: Cut, end: End) {
    let played = run_scenario(form, cut, end, PagingFault::None);
    assert_eq!((played.code, played.gaps), (0, Vec::new()), "{form:?} {cut:?} {end:?}");
    assert_eq!(played.rows, form.rows(cut), "{form:?} {cut:?} {end:?}: {:#?}", played.seen);
}

#[test]
fn pages_with_numbers_end_with_a_page_without_rows_and_nothing_else_ends_them() {
    for form in NUMBERED {
        for cut in [Cut::Even, Cut::Short, Cut::ShortMiddle, Cut::Sliding, Cut::Nothing] {
            for end in [End::EmptyPage, End::NoList, End::NullList, End::NoContent] {
                expect_all(form, cut, end);
            }
        }
    }
}

#[test]
fn pages_with_numbers_end_where_the_next_is_said_to_be_none() {
    for form in [Form::PageWithNext, Form::OffsetWithNext] {
        for cut in [Cut::Even, Cut::Short, Cut::ShortMiddle, Cut::Sliding, Cut::Nothing] {
            for end in
                [End::NoKey, End::Null, End::EmptyText, End::False, End::NoContent, End::EmptyPage]
            {
                expect_all(form, cut, end);
            }
        }
    }
}

#[test]
fn pages_that_name_the_next_end_with_one_that_names_none_and_an_empty_one_goes_on() {
    for form in NAMED {
        for cut in
            [Cut::Even, Cut::Short, Cut::ShortMiddle, Cut::EmptyMiddle, Cut::Sliding, Cut::Nothing]
        {
            for end in
                [End::NoKey, End::Null, End::EmptyText, End::EmptyPage, End::NoList, End::NoContent]
            {
                expect_all(form, cut, end);
            }
        }
    }
}

#[test]
fn one_reply_is_all_where_there_is_no_paging() {
    for end in [End::NoKey, End::EmptyPage] {
        expect_all(Form::None, Cut::Whole, end);
        expect_all(Form::None, Cut::Nothing, end);
    }
    let played = run_scenario(Form::None, Cut::Whole, End::NoKey, PagingFault::None);
    assert_eq!((played.rows.len(), played.seen.len()), (ROWS, 1));
}

/// The one gap that a form in trouble leaves.
fn gap(form: Form, trouble: PagingFault) -> String {
    let played = run_scenario(form, Cut::Short, End::NoKey, trouble);
    assert!(played.rows.is_empty(), "{form:?} {trouble:?}: what is not whole is not committed");
    assert!(played.seen.len() < 1_000, "{form:?} {trouble:?}");
    assert_eq!(played.gaps.len(), 1, "{form:?} {trouble:?}: {:?}", played.gaps);
    played.gaps[0].clone()
}

#[test]
fn g8_a_cursor_or_link_that_repeats_is_named() {
    for form in NAMED {
        let gap = gap(form, PagingFault::Repeats);
        assert!(gap.contains(&format!("{}` for the second time", form.next(1))), "{form:?}: {gap}");
    }
}

#[test]
fn g8_pages_that_circle_are_named() {
    for form in NAMED {
        let gap = gap(form, PagingFault::Circles);
        assert!(gap.contains(&format!("{}` for the second time", form.next(1))), "{form:?}: {gap}");
    }
}

#[test]
fn g8_a_row_of_empty_pages_without_end_is_bounded() {
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
            ("https://api.example/rows", "https://api.example,"),
            ("http://api.example:8080/rows", "http://api.example:8080,"),
            ("http://api.example@evil.example/", "http://evil.example,"),
            ("file:///etc/passwd", "null,"),
        ] {
            let played = run_scenario(form, Cut::Short, End::NoKey, PagingFault::Link(link));
            assert_eq!(played.gaps.len(), 1, "{form:?} {link}");
            assert!(
                played.gaps[0].contains(&format!("is said to be at {host}")),
                "{link}: {:?}",
                played.gaps
            );
            assert_eq!(played.seen.len(), 1, "{form:?} {link}: {:?}", played.seen);
        }
    }
    let gap = gap(Form::WholeLink, PagingFault::Link("http://[broken"));
    assert!(gap.contains("`http://[broken` is no link"), "{gap}");
}

/// A row that is served in two versions, on two pages or on one.
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
fn the_later_changed_of_two_copies_wins_in_whatever_order_they_come() {
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
        let said = format!("{pages:?}");
        let stub = Stub::new("/oauth/token", move |asked| {
            (200, pages.get(asked.number("page") - 1).map_or("[]", String::as_str).to_owned())
        });
        assert_eq!(backfill(VERSIONS, &stub).rows, ["new r"], "{said}");
    }
}
