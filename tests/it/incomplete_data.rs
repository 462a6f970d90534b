//! Data that fail, are late or are doubtful: a run goes on with the rest and names them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::common::{
    stub_backfill::{StubBackfill, StubResult, backfill_in_order, backfill_until},
    stub_transport::{Stub, StubRequest, StubResponse},
};

/// The datasets `rows`, with these keys of its endpoint, and `others`.
fn catalog(rows: &str) -> String {
    format!(
        "[dataset.rows]\nversion = 1\nid = ['team', 'id']\ntime = 'at'\ncolumns = 'row'\n{rows}\n\
         [dataset.others]\nversion = 1\nid = ['team', 'id']\ntime = 'at'\ncolumns = 'row'\n\
         [dataset.others.query]\npath = '/others'\nrows = ''\npaging = 'none'\n\
         query = {{ from = '{{from}}' }}\n\
         [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\nnumber = 'int64'\n"
    )
}

const QUERY: &str = "[dataset.rows.query]\npath = '/rows'\nrows = '/rows'\npaging = 'none'\n\
    query = { from = '{from}' }\n";
const JOB: &str = "[dataset.rows.job]\nrows = ''\npath = '/jobs/{task}/rows'\n\
    submit = { path = '/jobs', task = '/id' }\n\
    poll = { path = '/jobs/{task}', state = '/state', done = ['DONE'] }\n\
    available = { path = '/available', until = '/until' }\n";

fn ok(body: &str) -> StubResponse {
    (200, body.to_owned())
}

/// Backfills day by day, in the order of the plan.
fn backfill(
    catalog: &str,
    settings: &[&str],
    answer: impl Fn(&StubRequest) -> StubResponse + Send + Sync + 'static,
) -> StubResult {
    backfill_in_order(catalog, &[&["fetch.shard=1d"], settings].concat(), answer)
}

fn count(result: &StubResult, text: &str) -> usize {
    result.requests.iter().filter(|request| request.contains(text)).count()
}

#[test]
fn a_dataset_that_fails_ten_times_in_a_row_is_given_up_and_the_others_go_on() {
    let january = ["job.datasets=['rows','others']", "job.to=2024-02-01T00:00:00Z"];
    let result = backfill(&catalog(QUERY), &january, |request| match request.url.path() {
        "/rows" => (400, r#"{"code": "bad.request"}"#.to_owned()),
        _ => ok("[]"),
    });
    assert_eq!((count(&result, "/rows"), count(&result, "/others")), (10, 31));
    assert_eq!(result.code, 1);
    let given_up = |gap: &&String| gap.contains("the dataset was given up: too many shards");
    assert!(result.gaps.iter().any(|gap| given_up(&gap)), "{:?}", result.gaps);
}

/// A query in pages of a hundred rows that counts them.
const COUNTED: &str = "[dataset.rows.query]\npath = '/rows'\nrows = '/rows'\ntotal = '/total'\n\
    paging = 'page-number'\npage_size = 100\n\
    query = { from = '{from}', page = '{page}', size = '{page_size}' }\n";

/// Backfills four days of 2,000 rows by jobs, whose submission is answered so, or else by the
/// query.
fn with_jobs(actors: &str, submission: StubResponse) -> StubResult {
    let settings = ["job.to=2024-01-05T00:00:00Z", actors];
    backfill(&catalog(&format!("{COUNTED}{JOB}")), &settings, move |request| {
        match (request.method.as_str(), request.url.path()) {
            ("POST", "/jobs") => submission.clone(),
            (_, "/available") => ok(r#"{"until": "2024-02-01T00:00:00Z"}"#),
            (_, "/jobs/j") => ok(r#"{"state": "DONE"}"#),
            (_, "/rows") if request.number("page") == 1 => {
                let at = request.param("from").unwrap();
                let row = format!(r#"{{"id": "r", "team": "", "at": "{at}"}}"#);
                ok(&format!(r#"{{"total": 2000, "rows": [{row}]}}"#))
            }
            (_, "/rows") => ok(r#"{"total": 2000, "rows": []}"#),
            _ => ok("[]"),
        }
    })
}

#[test]
fn rows_are_counted_once_for_all_fetchers() {
    let result = with_jobs("fetch.actors=4", ok(r#"{"id": "j"}"#));
    assert_eq!(count(&result, "POST"), 4, "{:#?}", result.requests);
    let counts = result.requests.iter().filter(|request| request.ends_with("size=1"));
    assert_eq!(counts.count(), 1, "{:#?}", result.requests);
}

#[test]
fn a_job_that_the_platform_refuses_for_good_is_not_submitted_again_and_the_query_is_used() {
    let refused = (403, r#"{"code": "no.jobs"}"#.to_owned());
    let result = with_jobs("fetch.actors=1", refused);
    assert_eq!((result.code, result.rows.len()), (0, 4), "{:?}", result.gaps);
    assert_eq!(count(&result, "POST"), 1, "{:#?}", result.requests);
}

#[test]
fn a_shard_that_waits_for_job_data_holds_no_fetcher() {
    let polls = AtomicUsize::new(0);
    let settings = ["job.datasets=['rows','others']", "fetch.lake_wait=1h"];
    let result = backfill(&catalog(JOB), &settings, move |request| {
        let path = request.url.path();
        match (request.method.as_str(), path) {
            (_, "/available") if polls.fetch_add(1, Ordering::Relaxed) < 2 => {
                ok(r#"{"until": "2024-01-01T12:00:00Z"}"#)
            }
            (_, "/available") => ok(r#"{"until": "2024-01-02T00:00:00Z"}"#),
            ("POST", "/jobs") => ok(r#"{"id": "j"}"#),
            (_, "/jobs/j") => ok(r#"{"state": "DONE"}"#),
            (_, "/jobs/j/rows") => ok(r#"[{"id": "r", "team": "", "at": "2024-01-01T00:00:00Z"}]"#),
            _ => ok("[]"),
        }
    });
    assert_eq!((result.code, result.rows.len()), (0, 1), "{:?}", result.gaps);
    let paths: Vec<_> = result
        .requests
        .iter()
        .filter_map(|request| {
            ["/available", "/others", "/jobs/j/rows"]
                .into_iter()
                .find(|path| request.contains(path))
        })
        .collect();
    assert_eq!(paths, ["/available", "/others", "/available", "/available", "/jobs/j/rows"]);
}

#[test]
fn an_interrupt_ends_a_run_whose_shards_all_wait() {
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let stub = Stub::new("/oauth/token", move |_| {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            stop.cancel();
        });
        ok(r#"{"until": "2024-01-01T12:00:00Z"}"#)
    });
    let settings = ["fetch.lake_wait=1h"];
    let result = backfill_until(&catalog(JOB), "", &settings, &Arc::clone(&stub), shutdown);
    assert_eq!((result.code, result.requests.len()), (130, 1), "{:?}", result.requests);
    assert_eq!(result.elapsed.as_secs(), 60);
}

#[test]
fn quarantined_rows_are_a_gap_of_the_run() {
    let result = backfill(&catalog(QUERY), &[], |_| {
        ok(r#"{"rows": [{"id": "a", "team": "", "at": "2024-01-01T00:00:00Z"},
                        {"id": "b", "team": "", "at": "soon"}]}"#)
    });
    assert_eq!((result.code, result.rows.len()), (1, 1));
    assert_eq!(result.gaps, ["quarantined: 1 rows cannot be decoded"]);
}

#[test]
fn a_run_that_owns_none_of_the_rows_of_a_dataset_has_a_gap() {
    let days = ["job.to=2024-01-04T00:00:00Z"];
    let result = backfill(&catalog(QUERY), &days, |_| {
        ok(r#"{"rows": [{"id": "a", "team": "", "at": "2025-01-01T00:00:00Z"}]}"#)
    });
    assert_eq!((result.code, result.rows.len()), (1, 0));
    assert_eq!(result.gaps, ["nothing-owned: the run received 3 rows and owns none of them"]);
}

#[test]
fn times_outside_1990_to_2100_are_a_gap_of_the_run() {
    let result = backfill(&catalog(QUERY), &[], |_| {
        ok(r#"{"rows": [{"id": "a", "team": "", "at": "2024-01-01T00:00:00Z"},
                        {"id": "b", "team": "", "at": "1970-01-20T17:00:00Z"}]}"#)
    });
    assert_eq!((result.code, result.rows.len()), (1, 1));
    assert_eq!(result.gaps, ["implausible-times: the times of 1 rows lie outside 1990 to 2100"]);
}

#[test]
fn an_exact_total_that_does_not_match_is_a_gap_and_a_hint_is_not() {
    let row = r#"{"id": "a", "team": "", "at": "2024-01-01T00:00:00Z"}"#;
    for (total_is, requests, gaps) in [
        ("exact", 2, vec!["count-mismatch: the platform counts 7 rows and returned 1, twice"]),
        ("hint", 1, vec![]),
    ] {
        let endpoint = format!("{QUERY}total = '/total'\ntotal_is = '{total_is}'\n");
        let result = backfill(&catalog(&endpoint), &[], move |_| {
            ok(&format!(r#"{{"total": 7, "rows": [{row}]}}"#))
        });
        assert_eq!(result.gaps, gaps, "{total_is}");
        assert_eq!((result.requests.len(), result.rows.len()), (requests, 1), "{total_is}");
    }
}

#[test]
fn a_wrong_hint_of_the_total_neither_fails_a_run_nor_ends_its_pages() {
    let endpoint = "[dataset.rows.query]\npath = '/rows'\nrows = '/rows'\npage_size = 2\n\
        depth = 1000\npaging = 'page-number'\ntotal = '/total'\nquery = { page = '{page}' }\n";
    for total in ["0", "1", "99999999", "null", "\"many\"", "-3"] {
        let result = backfill(&catalog(endpoint), &["fetch.smallest_shard=1h"], move |request| {
            let rows = match request.number("page") {
                page @ 1..=3 => {
                    format!(r#"{{"id": "r{page}", "team": "", "at": "2024-01-01T0{page}:00:00Z"}}"#)
                }
                _ => String::new(),
            };
            ok(&format!(r#"{{"total": {total}, "rows": [{rows}]}}"#))
        });
        assert_eq!((result.code, result.rows.len()), (0, 3), "{total}: {:?}", result.gaps);
        assert!(result.requests.len() <= 8, "{total}: {:?}", result.requests);
    }
}

#[test]
fn a_day_with_open_rows_is_fetched_again_until_they_are_closed() {
    let is_closed = Arc::new(AtomicBool::new(false));
    let closed = Arc::clone(&is_closed);
    let stub = Stub::new("/oauth/token", move |_| {
        let number = if closed.load(Ordering::Relaxed) { "7" } else { "null" };
        let row = r#""id": "a", "team": "", "at": "2024-01-01T00:00:00Z""#;
        ok(&format!(r#"{{"rows": [{{{row}, "number": {number}}}]}}"#))
    });
    let catalog = catalog(QUERY).replacen("time = 'at'", "time = 'at'\nopen = 'number'", 1);
    let mut backfill = StubBackfill::new(&catalog, "", &[]);
    let run = |backfill: &StubBackfill| {
        let result = backfill.run(&stub, CancellationToken::new());
        assert_eq!((result.code, result.rows.len()), (0, 1), "{:?}", result.gaps);
        result.requests.len()
    };
    assert_eq!(run(&backfill), 1);
    assert_eq!(run(&backfill), 1, "not due yet");
    let years = |years: u64| Duration::from_secs(years * 365 * 86_400);
    backfill.config.now += i64::try_from(years(20).as_millis()).unwrap();
    assert_eq!(run(&backfill), 1, "older than job.follow_open");
    backfill.config.follow_open = years(100);
    assert_eq!(run(&backfill), 2, "due, and still open");
    is_closed.store(true, Ordering::Relaxed);
    assert_eq!(run(&backfill), 3, "due, and closed now");
    assert_eq!(run(&backfill), 3, "nothing is open any more");
}
