//! What an API refuses, or does not have yet, and what becomes of the rows: what can be had is had, and
//! the rest is named.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{
    paged_api::{PagingResult, backfill, backfill_with},
    stub_transport::{Stub, StubRequest, StubResponse},
};

/// A dataset that is had by `endpoint`, and the teams that others are asked for each of.
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
const EACH: &str = "[dataset.rows.query]\npath = '/teams/{each}/rows'\nrows = ''\npaging = 'none'\n\
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
) -> PagingResult {
    backfill(&catalog(endpoint), &Stub::new("/oauth/token", answer))
}

fn count(played: &PagingResult, seen: &str) -> usize {
    played.seen.iter().filter(|asked| asked.contains(seen)).count()
}

/// A job whose result is at `address`, and is refused the first `refusals` times.
fn download(address: &'static str, refusals: usize) -> PagingResult {
    let refused = AtomicUsize::new(0);
    run_scenario(&format!("{JOB}download = '/url'\n"), move |asked| {
        match (asked.method.as_str(), asked.url.path()) {
            ("POST", "/jobs") => ok(r#"{"id": "j"}"#),
            ("GET", "/jobs/j") => ok(&format!(r#"{{"state": "DONE", "url": "{address}"}}"#)),
            // as clouds do where somebody proves twice who they are
            ("GET", "/results/1") if asked.has_token => {
                (400, "only one auth mechanism is allowed".to_owned())
            }
            ("GET", "/results/1") if refused.fetch_add(1, Ordering::Relaxed) < refusals => {
                (403, "expired".to_owned())
            }
            ("GET", "/results/1") => row(""),
            (method, path) => (404, format!("{method} {path}")),
        }
    })
}

#[test]
fn the_address_of_a_result_that_has_expired_is_had_anew_and_the_dataset_is_not_denied() {
    let played = download("https://files.example/results/1", 2);
    assert_eq!(
        (played.code, played.rows.as_slice()),
        (0, &[" r".to_owned()][..]),
        "{:?}",
        played.gaps
    );
    assert_eq!(
        (count(&played, "POST"), count(&played, "/results/1")),
        (3, 3),
        "{:#?}",
        played.seen
    );
    let never = download("https://files.example/results/1", usize::MAX);
    assert_eq!((never.code, never.gaps.len()), (1, 1), "{:?}", never.gaps);
    assert!(never.gaps[0].contains("403"), "{:?}", never.gaps);
}

#[test]
fn g10_the_token_does_not_go_along_with_a_download_wherever_it_is() {
    for address in ["https://files.example/results/1", "http://api.example/results/1"] {
        let played = download(address, 0);
        assert_eq!((played.code, played.rows.len()), (0, 1), "{address}: {:?}", played.gaps);
    }
}

#[test]
fn a_parent_that_was_deleted_since_it_was_listed_is_skipped_and_the_others_are_had() {
    let played = run_scenario(EACH, |asked| match asked.url.path() {
        "/teams" => ok(r#"[{"id": "red"}, {"id": "gone"}, {"id": "blue"}]"#),
        "/teams/gone/rows" => (404, String::new()),
        "/teams/red/rows" | "/teams/blue/rows" => {
            ok(r#"[{"id": "r", "at": "2024-01-01T00:00:00Z"}]"#)
        }
        other => panic!("{other}"),
    });
    assert_eq!(
        (played.code, played.rows.as_slice()),
        (0, &["blue r", "red r"].map(str::to_owned)[..])
    );
    assert_eq!(count(&played, "/teams/gone/rows"), 1);
}

#[test]
fn whoever_may_not_list_the_parents_may_not_read_the_dataset() {
    let played = run_scenario(EACH, |asked| match asked.url.path() {
        "/teams" => (403, r#"{"message": "no right"}"#.to_owned()),
        other => panic!("{other}"),
    });
    assert_eq!((played.code, played.rows.len()), (3, 0), "{:?}", played.gaps);
    assert!(
        played.gaps[0].contains("rows: the server answered 403: no right"),
        "{:?}",
        played.gaps
    );
}

#[test]
fn a_dataset_that_is_had_by_jobs_alone_is_not_asked_for_beyond_what_they_can_read() {
    let endpoint = format!(
        "{JOB}path = '/jobs/{{task}}/rows'\navailable = {{ path = '/available', until = '/until' }}\n"
    );
    let played = run_scenario(&endpoint, |asked| match asked.url.path() {
        "/available" => ok(r#"{"until": "2024-01-01T12:00:00Z"}"#),
        other => panic!("{other}"),
    });
    assert_eq!((played.code, played.rows.len(), played.gaps.len()), (1, 0, 1));
    assert!(
        played.gaps[0].contains("data for jobs up to 2024-01-01T12:00:00"),
        "{:?}",
        played.gaps
    );
    assert!(played.gaps[0].ends_with("run again later"), "{:?}", played.gaps);
}

#[test]
fn whoever_is_told_to_wait_has_as_many_attempts_as_before() {
    let asked = AtomicUsize::new(0);
    let stub = Stub::new("/oauth/token", move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0..20 => (429, String::new()),
        20 | 21 => (500, String::new()),
        _ => row(""),
    });
    let played = backfill_with(&catalog(QUERY), "[retry]\nattempts = 3\n", &stub);
    assert_eq!(
        (played.code, played.rows.len(), played.seen.len()),
        (0, 1, 23),
        "{:?}",
        played.gaps
    );
}
