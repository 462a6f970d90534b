//! Open rows are followed up by their ids: closed copies take their place, nothing else changes.

use std::time::Duration;

use crate::common::{
    stub_backfill::{StubResult, SwitchedBackfill},
    stub_transport::{StubRequest, StubResponse},
};

const CATALOG: &str = "[dataset.rows]\nversion = 1\nid = 'id'\ntime = 'at'\nopen = 'end'\n\
    columns = 'row'\n[dataset.rows.query]\npath = '/rows'\nrows = '/rows'\npaging = 'page-number'\n\
    page_size = 10\nquery = { page = '{page}' }\n\
    [dataset.rows.by_id]\npath = '/rows/by-id'\nquery = { id = '{ids}' }\nrows = '/rows'\n\
    page_size = 3\n\
    [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\nend = 'timestamp'\n";

/// How the API answers.
const OPEN: u8 = 0;
const CLOSED: u8 = 1;
/// The open row 7 is not there any more: a request with its id is answered 404.
const DELETED: u8 = 2;
/// There is no endpoint by id.
const NOT_BY_ID: u8 = 3;
const FORBIDDEN_BY_ID: u8 = 4;
/// A response has a row that was not requested.
const OTHERS: u8 = 5;
/// A response leaves out the row 7, and its other rows are still open.
const MISSING: u8 = 6;

/// A committed day of 40 rows, every seventh of which is open and due: 0, 7, 14, 21, 28 and 35.
fn day_with_open_rows() -> SwitchedBackfill {
    let mut day = SwitchedBackfill::new(CATALOG, &[], answer);
    let first = day.run(OPEN);
    assert_eq!((first.code, first.rows.len(), first.requests.len()), (0, 40, 5));
    day.backfill.config.follow_open = Duration::from_secs(40 * 365 * 86_400);
    pass(&mut day, 20);
    day
}

/// Lets years pass.
fn pass(day: &mut SwitchedBackfill, years: i64) {
    day.backfill.config.now += years * 365 * 86_400_000;
}

fn answer(request: &StubRequest, mode: u8) -> StubResponse {
    let row = |number: usize| {
        let end = match number.is_multiple_of(7) && [OPEN, MISSING].contains(&mode) {
            true => "null".to_owned(),
            false => "\"2024-01-01T12:00:00Z\"".to_owned(),
        };
        let hour = number / 2;
        format!(
            r#"{{"id": "{number}", "team": "{mode}", "at": "2024-01-01T{hour:02}:00:00Z", "end": {end}}}"#
        )
    };
    let rows = |numbers: &mut dyn Iterator<Item = usize>| {
        let rows: Vec<_> = numbers.map(row).collect();
        (200, format!(r#"{{"rows": [{}]}}"#, rows.join(",")))
    };
    let Some(ids) = request.param("id") else {
        let page = request.number("page") - 1;
        return rows(&mut (page * 10..40.min(page * 10 + 10)));
    };
    let ids: Vec<usize> = ids.split(',').map(|id| id.parse().unwrap()).collect();
    match mode {
        DELETED if ids.contains(&7) => (404, String::new()),
        NOT_BY_ID => (404, String::new()),
        FORBIDDEN_BY_ID => (403, String::new()),
        OTHERS => rows(&mut ids.into_iter().chain([8])),
        MISSING => rows(&mut ids.into_iter().filter(|id| *id != 7)),
        _ => rows(&mut ids.into_iter()),
    }
}

/// The requests by id of a run, and its other requests.
fn requests(result: &StubResult) -> (usize, usize) {
    let by_id = result.requests.iter().filter(|request| request.contains("/by-id")).count();
    (by_id, result.requests.len() - by_id)
}

/// The ids of the rows whose copy is of this mode.
fn rows_of(result: &StubResult, mode: u8) -> Vec<usize> {
    let of_mode = result.rows.iter().filter_map(|row| row.strip_prefix(&format!("{mode} ")));
    let mut ids: Vec<usize> = of_mode.map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn open_rows_are_fetched_by_id_and_nothing_else_changes() {
    let mut day = day_with_open_rows();
    let closed = day.run(CLOSED);
    assert_eq!((closed.code, requests(&closed)), (0, (2, 0)), "{:?}", closed.gaps);
    assert!(closed.requests[0].ends_with("/rows/by-id?id=0%2C7%2C14"), "{:?}", closed.requests);
    assert_eq!(rows_of(&closed, CLOSED), [0, 7, 14, 21, 28, 35]);
    assert_eq!((closed.rows.len(), rows_of(&closed, OPEN).len()), (40, 34));
    pass(&mut day, 10);
    assert_eq!(requests(&day.run(CLOSED)), (0, 0), "nothing is open any more");
}

#[test]
fn an_id_that_is_answered_404_stays_as_it_is() {
    let mut day = day_with_open_rows();
    let result = day.run(DELETED);
    // three ids, one of them, the other two, each of the two; and the other three
    assert_eq!((result.code, requests(&result)), (0, (6, 0)), "{:?}", result.requests);
    assert_eq!(rows_of(&result, DELETED), [0, 14, 21, 28, 35]);
    assert_eq!(result.rows.len(), 40);
    pass(&mut day, 10);
    assert_eq!(requests(&day.run(DELETED)), (1, 0), "the row is still open, and due again");
}

#[test]
fn an_open_row_that_a_response_leaves_out_stays_as_it_is() {
    let mut day = day_with_open_rows();
    let result = day.run(MISSING);
    assert_eq!((result.code, requests(&result)), (0, (2, 0)), "{:?}", result.gaps);
    assert_eq!(rows_of(&result, MISSING), [0, 14, 21, 28, 35]);
    pass(&mut day, 10);
    assert_eq!(requests(&day.run(CLOSED)), (2, 0), "all of them are still open");
}

#[test]
fn a_day_whose_open_rows_cannot_be_fetched_by_id_is_fetched_whole() {
    for (mode, by_id) in [(NOT_BY_ID, 9), (FORBIDDEN_BY_ID, 1), (OTHERS, 1)] {
        let day = day_with_open_rows();
        let result = day.run(mode);
        assert_eq!((result.code, requests(&result)), (0, (by_id, 5)), "{mode}: {:?}", result.gaps);
        assert_eq!((rows_of(&result, mode).len(), result.rows.len()), (40, 40), "{mode}");
    }
}

#[test]
fn a_refresh_that_covers_the_day_makes_no_request_by_id() {
    let mut day = day_with_open_rows();
    day.backfill.config.refresh = Duration::from_secs(86_400);
    let result = day.run(CLOSED);
    assert_eq!((result.code, requests(&result)), (0, (0, 5)));
    assert_eq!(rows_of(&result, CLOSED).len(), 40);
}
