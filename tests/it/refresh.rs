//! A refresh replaces committed rows only when everything that replaces them is there (G3).

use std::time::Duration;

use cxbackfill::testing::Interval;

use crate::common::{
    stub_backfill::{StubResult, SwitchedBackfill},
    stub_transport::{StubRequest, StubResponse},
};

const CATALOG: &str = "[dataset.rows]\nversion = 1\nid = ['team', 'id']\ntime = 'at'\n\
    columns = 'row'\n[dataset.rows.query]\npath = '/rows'\nrows = '/rows'\npaging = 'none'\n\
    query = { from = '{from:ms}', to = '{to:ms}' }\n\
    [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\n";
const SETTINGS: [&str; 5] = [
    "fetch.actors=1",
    "fetch.shard=1d",
    "fetch.smallest_shard=6h",
    "retry.attempts=2",
    "retry.give_up_dataset_after=100",
];
const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_704_067_200_000;

/// How the API answers.
const OLD_ROWS: u8 = 0;
const NEW_ROWS: u8 = 1;
const ONLY_504: u8 = 2;
/// 504 for intervals wider than twelve hours and for the second half of the day.
const HALF_504: u8 = 3;

/// A day of 24 rows, of a team that tells old rows from new ones.
fn day() -> SwitchedBackfill {
    SwitchedBackfill::new(CATALOG, &SETTINGS, answer)
}

fn run(day: &mut SwitchedBackfill, answers: u8, refresh: Duration) -> StubResult {
    day.backfill.config.refresh = refresh;
    day.run(answers)
}

fn answer(request: &StubRequest, mode: u8) -> StubResponse {
    if request.url.path() != "/rows" {
        return (404, String::new());
    }
    let ms = |name: &str| i64::try_from(request.number(name)).unwrap();
    let (from, to) = (ms("from"), ms("to"));
    let is_second_half = from >= START_MS + 12 * HOUR_MS;
    if mode == ONLY_504 || mode == HALF_504 && (is_second_half || to - from > 12 * HOUR_MS) {
        return (504, String::new());
    }
    let team = if mode == OLD_ROWS { "old" } else { "new" };
    let rows: Vec<_> = (0..24)
        .filter(|hour| (from..to).contains(&(START_MS + hour * HOUR_MS)))
        .map(|hour| {
            format!(r#"{{"id":"{hour}","team":"{team}","at":"2024-01-01T{hour:02}:00:00Z"}}"#)
        })
        .collect();
    (200, format!(r#"{{"rows":[{}]}}"#, rows.join(",")))
}

/// The number of rows of each team.
fn teams(result: &StubResult) -> [usize; 2] {
    ["old ", "new "].map(|team| result.rows.iter().filter(|row| row.starts_with(team)).count())
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_refresh_that_meets_only_504_keeps_the_committed_rows_and_is_done_by_the_next_run() {
    let mut day = day();
    assert_eq!(teams(&run(&mut day, OLD_ROWS, Duration::ZERO)), [24, 0]);
    let failed = run(&mut day, ONLY_504, DAY);
    assert_eq!((teams(&failed), failed.code), ([24, 0], 1), "{:?}", failed.gaps);
    // it is not asked to refresh, but what could not be replaced is still to be replaced
    let next = run(&mut day, NEW_ROWS, Duration::ZERO);
    assert_eq!((teams(&next), next.code), ([0, 24], 0), "{:?}", next.gaps);
}

#[test]
fn a_refresh_of_which_one_half_fails_keeps_the_committed_rows_of_both() {
    let mut day = day();
    run(&mut day, OLD_ROWS, Duration::ZERO);
    let failed = run(&mut day, HALF_504, DAY);
    assert_eq!((teams(&failed), failed.code), ([24, 0], 1), "{:?}", failed.gaps);
    let next = run(&mut day, NEW_ROWS, Duration::ZERO);
    assert_eq!((teams(&next), next.code), ([0, 24], 0), "{:?}", next.gaps);
}

/// A good row of each day of an interval, and in the old ones two that cannot be decoded.
fn answer_undecodable(request: &StubRequest, mode: u8) -> StubResponse {
    let days = i64::try_from(request.number("from")).unwrap()..;
    let days = days
        .step_by(24 * 3_600_000)
        .take_while(|&day| day < i64::try_from(request.number("to")).unwrap());
    let rows = days.map(|day_ms| {
        let day = (day_ms - START_MS) / (24 * HOUR_MS) + 1;
        let good = format!(r#"{{"id":"{day}","team":"t","at":"2024-01-0{day}T01:00:00Z"}}"#);
        let no_id = format!(r#"{{"at":"2024-01-0{day}T02:00:00Z"}}"#);
        let no_time = format!(r#"{{"id":"{day}","team":"no time"}}"#);
        if mode == OLD_ROWS { [good, no_id, no_time].join(",") } else { good }
    });
    (200, format!(r#"{{"rows":[{}]}}"#, Vec::from_iter(rows).join(",")))
}

#[test]
fn a_refresh_of_one_day_of_a_wide_shard_keeps_the_quarantined_rows_of_the_other_days() {
    let settings = ["fetch.shard=3d", "job.to=2024-01-04T00:00:00Z"];
    let mut days = SwitchedBackfill::new(CATALOG, &settings, answer_undecodable);
    let first = run(&mut days, OLD_ROWS, Duration::ZERO);
    // one request for two days and one for the third, since widths are counted from 1970
    assert_eq!((first.requests.len(), first.rows.len(), first.quarantined.len()), (2, 3, 6));
    assert_eq!(first.gaps, ["quarantined: 2 rows cannot be decoded"; 3]);
    for (day, left) in [(0, 4), (1, 2)] {
        days.backfill.config.interval = Interval::day_of(START_MS + day * 24 * HOUR_MS);
        let refreshed = run(&mut days, NEW_ROWS, DAY);
        assert_eq!(
            (refreshed.code, refreshed.rows.len(), refreshed.quarantined.len()),
            (0, 3, left)
        );
    }
}
