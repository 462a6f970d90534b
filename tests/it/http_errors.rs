//! Error responses and data that is not available yet: all other rows are fetched, and the gaps are
//! named.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{
    stub_backfill::{StubResult, backfill, backfill_with},
    stub_transport::{Stub, StubRequest, StubResponse},
};

/// A dataset with this endpoint, and its parent dataset `teams`.
fn catalog(endpoint: &str) -> String {
    format!(
        "[dataset.rows]\nversion = 1\nid = ['team', 'id']\ntime = 'at'\ncolumns = 'row'\n{endpoint}\n\
         [dataset.teams]\nversion = 1\nid = 'id'\ntime = 'at'\nsnapshot = true\ncolumns = 'row'\n\
         query = {{ path = '/teams', rows = '', paging = 'none' }}\n\
         [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\n"
    )
}

const JOB: &str = "[dataset.rows.job]\nrows = ''\nsubmit = { path = '/jobs', task = '/id' }\n\
    poll = { path = '/jobs/{task}', state = '/state', done = ['DONE'] }\n";
const PARENT: &str = "[dataset.rows.query]\npath = '/teams/{each}/rows'\nrows = ''\npaging = 'none'\n\
    each = { dataset = 'teams', column = 'team' }\n";
const QUERY: &str = "[dataset.rows.query]\npath = '/rows'\nrows = ''\npaging = 'none'\n";

fn ok(body: &str) -> StubResponse {
    (200, body.to_owned())
}

fn row(team: &str) -> StubResponse {
    ok(&format!(r#"[{{"id": "r", "team": "{team}", "at": "2024-01-01T00:00:00Z"}}]"#))
}

fn run_scenario(
    endpoint: &str,
    answer: impl Fn(&StubRequest) -> StubResponse + Send + Sync + 'static,
) -> StubResult {
    backfill(&catalog(endpoint), &Stub::new("/oauth/token", answer))
}

fn count(result: &StubResult, text: &str) -> usize {
    result.requests.iter().filter(|request| request.contains(text)).count()
}

/// A job whose result is at `address`, where the first `rejections` requests are answered 403.
fn download(address: &'static str, rejections: usize) -> StubResult {
    let requests = AtomicUsize::new(0);
    run_scenario(&format!("{JOB}download = '/url'\n"), move |request| {
        match (request.method.as_str(), request.url.path()) {
            ("POST", "/jobs") => ok(r#"{"id": "j"}"#),
            ("GET", "/jobs/j") => ok(&format!(r#"{{"state": "DONE", "url": "{address}"}}"#)),
            // as cloud storage does with two kinds of credentials
            ("GET", "/results/1") if request.has_token => {
                (400, "only one auth mechanism is allowed".to_owned())
            }
            ("GET", "/results/1") if requests.fetch_add(1, Ordering::Relaxed) < rejections => {
                (403, "expired".to_owned())
            }
            ("GET", "/results/1") => row(""),
            (method, path) => (404, format!("{method} {path}")),
        }
    })
}

#[test]
fn an_expired_address_of_a_result_is_requested_again() {
    let result = download("https://files.example/results/1", 2);
    assert_eq!(
        (result.code, result.rows.as_slice()),
        (0, &[" r".to_owned()][..]),
        "{:?}",
        result.gaps
    );
    assert_eq!(
        (count(&result, "POST"), count(&result, "/results/1")),
        (3, 3),
        "{:#?}",
        result.requests
    );
    let never = download("https://files.example/results/1", usize::MAX);
    assert_eq!((never.code, never.gaps.len()), (1, 1), "{:?}", never.gaps);
    assert!(never.gaps[0].contains("403"), "{:?}", never.gaps);
}

#[test]
fn g10_the_token_is_not_sent_with_a_download() {
    for address in ["https://files.example/results/1", "http://api.example/results/1"] {
        let result = download(address, 0);
        assert_eq!((result.code, result.rows.len()), (0, 1), "{address}: {:?}", result.gaps);
    }
}

#[test]
fn a_deleted_parent_is_skipped() {
    let result = run_scenario(PARENT, |request| match request.url.path() {
        "/teams" => ok(r#"[{"id": "red"}, {"id": "gone"}, {"id": "blue"}]"#),
        "/teams/gone/rows" => (404, String::new()),
        "/teams/red/rows" | "/teams/blue/rows" => {
            ok(r#"[{"id": "r", "at": "2024-01-01T00:00:00Z"}]"#)
        }
        other => panic!("{other}"),
    });
    assert_eq!(
        (result.code, result.rows.as_slice()),
        (0, &["blue r", "red r"].map(str::to_owned)[..])
    );
    assert_eq!(count(&result, "/teams/gone/rows"), 1);
}

#[test]
fn a_dataset_whose_parents_are_denied_is_denied() {
    let result = run_scenario(PARENT, |request| match request.url.path() {
        "/teams" => (403, r#"{"message": "no right"}"#.to_owned()),
        other => panic!("{other}"),
    });
    assert_eq!((result.code, result.rows.len()), (3, 0), "{:?}", result.gaps);
    assert!(
        result.gaps[0].contains("rows: the server answered 403: no right"),
        "{:?}",
        result.gaps
    );
}

#[test]
fn a_dataset_with_jobs_only_is_not_requested_beyond_its_job_data_availability() {
    let endpoint = format!(
        "{JOB}path = '/jobs/{{task}}/rows'\navailable = {{ path = '/available', until = '/until' }}\n"
    );
    let result = run_scenario(&endpoint, |request| match request.url.path() {
        "/available" => ok(r#"{"until": "2024-01-01T12:00:00Z"}"#),
        other => panic!("{other}"),
    });
    assert_eq!((result.code, result.rows.len(), result.gaps.len()), (1, 0, 1));
    assert!(
        result.gaps[0].contains("data for jobs only up to 2024-01-01T12:00:00"),
        "{:?}",
        result.gaps
    );
    assert!(result.gaps[0].ends_with("run again later"), "{:?}", result.gaps);
}

#[test]
fn throttled_attempts_do_not_count_as_retries() {
    let asked = AtomicUsize::new(0);
    let stub = Stub::new("/oauth/token", move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0..20 => (429, String::new()),
        20 | 21 => (500, String::new()),
        _ => row(""),
    });
    let result = backfill_with(&catalog(QUERY), "[retry]\nattempts = 3\n", &stub);
    assert_eq!(
        (result.code, result.rows.len(), result.requests.len()),
        (0, 1, 23),
        "{:?}",
        result.gaps
    );
}
