//! Shards of which a part fails: what is bisected, what it costs, and what is not bisected.

use cxbackfill::testing::Interval;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::common::{
    stub_backfill::{StubBackfill, backfill_in_order},
    stub_transport::{Stub, StubRequest},
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const FIRST_DAY: i64 = 1_704_067_200_000;

/// The dataset `rows`, requested by interval, with these keys of its endpoint.
fn catalog(keys: &str) -> String {
    format!(
        "[dataset.rows]\nversion = 1\nid = ['team', 'id']\ntime = 'at'\nopen = 'ended'\n\
         columns = 'row'\n[dataset.rows.query]\npath = '/rows'\nrows = '/rows'\n{keys}\n\
         [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\nended = 'timestamp'\n"
    )
}

const ONE_PAGE: &str = "paging = 'none'\nquery = { from = '{from}', to = '{to}' }";
const CURSOR: &str = "paging = 'cursor'\npage_size = 1000\nnext = '/next'\n\
    query = { from = '{from}', to = '{to}', cursor = '{cursor}' }";
const NUMBERED: &str = "paging = 'page-number'\npage_size = 2\nordered = true\n\
    query = { from = '{from}', to = '{to}', page = '{page}' }";

/// The interval of a request.
fn interval(request: &StubRequest) -> Interval {
    let [from, to] = ["from", "to"].map(|name| request.param(name).unwrap());
    format!("{from}/{to}").parse().unwrap()
}

/// A row that begins then and ends a minute later.
fn row(ms: i64) -> Value {
    let at = |ms| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
    json!({ "id": at(ms), "team": "", "at": at(ms), "ended": at(ms + 60_000) })
}

/// The rows of an interval: one at each full hour.
fn hours(interval: Interval) -> Vec<Value> {
    let all = (0..400 * 24).map(|hour| FIRST_DAY + hour * HOUR_MS);
    all.filter(|&ms| interval.contains(ms)).map(row).collect()
}

#[test]
fn a_moment_whose_page_cannot_be_taken_apart_costs_minutes_and_not_its_day() {
    // cut off, on the only page or on the second; and without the list, on the second
    for (keys, poison) in
        [(ONE_PAGE, r#"{"rows": [{"id""#), (CURSOR, r#"{"rows": [{"id""#), (CURSOR, r#"{"no": 1}"#)]
    {
        let poisoned = FIRST_DAY + 10 * HOUR_MS + 17 * 60_000;
        let result = backfill_in_order(&catalog(keys), &["fetch.shard=1d"], move |request| {
            let interval = interval(request);
            let is_last = keys == ONE_PAGE || request.param("cursor").is_some();
            if is_last && interval.contains(poisoned) {
                return (200, poison.to_owned());
            }
            let rows = hours(interval);
            let reply = match is_last {
                true => json!({ "rows": if keys == ONE_PAGE { rows } else { vec![] } }),
                false => json!({ "rows": rows, "next": "second" }),
            };
            (200, reply.to_string())
        });
        assert_eq!((result.code, result.rows.len()), (1, 24), "{keys}: {:?}", result.gaps);
        assert_eq!(result.gaps.len(), 1, "{:?}", result.gaps);
        // ten bisections of two attempts, eight attempts at the minute, ten good halves
        let pages = if keys == ONE_PAGE { 1 } else { 2 };
        assert!(result.requests.len() <= 40 * pages, "{keys}: {}", result.requests.len());
    }
}

#[test]
fn a_catalog_that_is_wrong_about_the_list_of_rows_is_not_bisected() {
    let settings = ["job.to=2024-02-01T00:00:00Z", "fetch.shard=31d"];
    let wrong = catalog(ONE_PAGE).replace("'/rows'\npaging", "'/items'\npaging");
    let result = backfill_in_order(&wrong, &settings, |request| {
        (200, json!({ "rows": hours(interval(request)) }).to_string())
    });
    assert_eq!((result.code, result.requests.len()), (1, 16), "the attempts of two shards");
}

#[test]
fn a_dataset_of_wide_shards_that_fails_everywhere_ends_after_few_requests() {
    let settings = ["job.to=2024-11-06T00:00:00Z", "fetch.shard=31d"];
    for (status, body, most) in [(400, r#"{"code": "bad"}"#, 30), (200, "<html>", 200)] {
        let result =
            backfill_in_order(&catalog(ONE_PAGE), &settings, move |_| (status, body.to_owned()));
        let given_up = result.gaps.iter().any(|gap| gap.contains("given up: too many shards"));
        assert!(given_up, "{:?}", result.gaps);
        assert!(result.requests.len() <= most, "{body}: {}", result.requests.len());
    }
}

#[test]
fn rows_of_a_day_that_was_committed_before_they_arrived_are_a_gap_until_it_is_fetched_again() {
    let settings = ["job.to=2024-01-04T00:00:00Z", "fetch.shard=3d", "fetch.ahead=1"];
    let settings = [&settings[..], &["fetch.actors=1"]].concat();
    let stub = Stub::new("/oauth/token", |request| {
        let interval = interval(request);
        let hour = |hour: i64| FIRST_DAY + hour * HOUR_MS;
        // the row of hour 3 comes after those of the next day
        let times = [1, 2, 25, 26, 27, 28, 3, 50, 51].map(hour);
        let found: Vec<_> = times.into_iter().filter(|&ms| interval.contains(ms)).collect();
        let page = request.number("page");
        let rows: Vec<_> = found.chunks(2).nth(page - 1).unwrap_or_default().to_vec();
        let rows: Vec<_> = rows.into_iter().map(row).collect();
        (200, json!({ "rows": rows }).to_string())
    });
    let backfill = StubBackfill::new(&catalog(NUMBERED), "", &settings);
    let result = backfill.run(&stub, CancellationToken::new());
    assert_eq!((result.code, result.rows.len()), (1, 8), "{:?}", result.gaps);
    let expected = "out-of-order: rows arrived after later ones, when the interval was committed";
    assert_eq!(result.gaps, [expected]);
    let again = backfill.retry_failed(&stub);
    assert_eq!((again.code, again.rows.len()), (0, 9), "{:?}", again.gaps);
}

#[test]
fn rows_that_began_earlier_and_reach_into_the_interval_are_no_doubt() {
    let minute = ["job.from=2024-01-01T10:00:30Z", "job.to=2024-01-01T10:00:40Z"];
    let began_at = |ms: i64| move |_: &StubRequest| (200, json!({ "rows": [row(ms)] }).to_string());
    let begun_before = FIRST_DAY + 10 * HOUR_MS;
    let reaches = backfill_in_order(&catalog(ONE_PAGE), &minute, began_at(begun_before));
    assert_eq!((reaches.code, reaches.rows.len()), (0, 0), "{:?}", reaches.gaps);
    // a platform that ignores the interval
    let ignores = backfill_in_order(&catalog(ONE_PAGE), &minute, began_at(begun_before - HOUR_MS));
    let expected = "nothing-owned: the run received 1 rows and owns none of them";
    assert_eq!((ignores.code, ignores.gaps), (1, vec![expected.to_owned()]));
}

#[test]
fn every_day_that_the_ledger_names_counts_as_committed_whatever_the_width_of_shards() {
    let to =
        format!("job.to={}", jiff::Timestamp::from_millisecond(FIRST_DAY + 3 * DAY_MS).unwrap());
    for width in ["fetch.shard=1d", "fetch.shard=3d"] {
        let result = backfill_in_order(&catalog(ONE_PAGE), &[&to, width], |request| {
            (200, json!({ "rows": hours(interval(request)) }).to_string())
        });
        assert_eq!((result.rows.len(), result.committed), (72, 3), "{width}");
    }
}
