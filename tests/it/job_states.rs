//! What becomes of a shard whose asynchronous job does not end as expected.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::time::Duration;

use crate::common::{
    stub_backfill::{StubResult, backfill},
    stub_transport::{Stub, StubRequest, StubResponse},
};

const CATALOG: &str = r#"
[dataset.rows]
version = 1
id      = "id"
time    = "at"
columns = "row"

[dataset.rows.job]
submit = { path = "/jobs", body = { from = "{from}" }, task = "/id" }
poll   = { path = "/jobs/{task}", state = "/state", done = ["DONE"], pending = ["RUNNING"], failed = ["FAILED"], gone = ["CANCELLED"] }
delete = { path = "/jobs/{task}" }
rows   = "/rows"
path   = "/jobs/{task}/results"
paging = "none"

[type.row]
id   = "string"
team = "string"
at   = "timestamp"
"#;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Backfills from an API whose job is in the state that `state` gives for the number of the poll.
fn run(state: fn(usize) -> &'static str) -> StubResult {
    let polls = Arc::new(AtomicUsize::new(0));
    let answer = move |request: &StubRequest| -> StubResponse {
        let reply: Value = match (request.method.as_str(), request.url.path()) {
            ("POST", "/jobs") => json!({ "id": "7" }),
            ("GET", "/jobs/7") => {
                json!({ "state": state(polls.fetch_add(1, Ordering::Relaxed)) })
            }
            ("GET", "/jobs/7/results") => {
                json!({ "rows": [{ "id": "a", "team": "t", "at": "2024-01-01T05:00:00Z" }] })
            }
            ("DELETE", "/jobs/7") => json!({}),
            _ => return (404, String::new()),
        };
        (200, reply.to_string())
    };
    backfill(CATALOG, &Stub::new("/oauth/token", answer))
}

fn count(result: &StubResult, request: &str) -> usize {
    result.requests.iter().filter(|seen| seen.starts_with(request)).count()
}

#[test]
fn a_job_in_an_unknown_state_is_polled_for_half_an_hour_and_then_fails_with_the_state() {
    let result = run(|_| "HIBERNATING");
    assert!(result.gaps[0].contains("its state is `HIBERNATING`"), "{:?}", result.gaps);
    assert!(result.elapsed >= 30 * MINUTE && result.elapsed < HOUR, "{:?}", result.elapsed);
    assert!(count(&result, "GET") < 100, "{:?}", result.requests);
    assert_eq!((count(&result, "POST"), count(&result, "DELETE")), (1, 1));
}

#[test]
fn an_unknown_state_between_known_ones_costs_nothing() {
    let result = run(|poll| ["RUNNING", "PAUSED", "RUNNING", "PAUSED", "DONE"][poll]);
    assert_eq!((result.rows.len(), result.gaps.len()), (1, 0), "{:?}", result.gaps);
    assert_eq!((count(&result, "POST"), count(&result, "DELETE")), (1, 1));
}

#[test]
fn a_job_that_never_ends_fails_after_six_hours() {
    let result = run(|_| "RUNNING");
    assert!(result.gaps[0].contains("is not done after"), "{:?}", result.gaps);
    assert!(result.elapsed >= 6 * HOUR && result.elapsed < 7 * HOUR, "{:?}", result.elapsed);
    assert!(count(&result, "GET") < 1_000, "{} polls", count(&result, "GET"));
}

#[test]
fn a_cancelled_job_is_deleted_and_submitted_again() {
    let result = run(|poll| if poll == 0 { "CANCELLED" } else { "DONE" });
    assert_eq!((result.rows.len(), result.gaps.len()), (1, 0), "{:?}", result.gaps);
    assert_eq!((count(&result, "POST"), count(&result, "DELETE")), (2, 2));
}
