//! Records the times of requests and the fate of jobs.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::time::Duration;

/// The path at which jobs are submitted.
pub const JOBS: &str = "/api/v2/analytics/conversations/details/jobs";

/// The requests of a scenario.
#[derive(Debug, Default)]
pub struct RequestRecorder {
    /// Jobs that the program polled or fetched.
    known: BTreeSet<String>,
    /// Jobs that the region no longer has.
    deleted: BTreeSet<String>,
    /// The times of the API requests within the last window's length.
    sent_times: VecDeque<Duration>,
    /// The largest number of them.
    pub most_sent: u64,
    /// The number of jobs submitted.
    pub submitted: u64,
    /// The number of replies that a job has failed or does not exist.
    pub lost: u64,
}

/// The id in the path of a job, and whether the path is that of its results.
pub fn job(path: &str) -> Option<(&str, bool)> {
    let mut parts = path.strip_prefix(JOBS)?.strip_prefix('/')?.split('/');
    let id = parts.next().filter(|&id| id != "availability")?;
    Some((id, parts.next().is_some()))
}

/// Whether a request is for data and not for a token.
pub fn is_api(request: &Request<Bytes>) -> bool {
    request.uri().path().starts_with("/api/")
}

impl RequestRecorder {
    /// A run begins: it cannot know what the previous one has sent.
    pub fn begin(&mut self) {
        self.sent_times.clear();
    }

    /// A request is sent.
    pub fn sent(&mut self, request: &Request<Bytes>, now: Duration, per: Duration) {
        self.known.extend(job(request.uri().path()).map(|(id, _)| id.to_owned()));
        if is_api(request) {
            self.sent_times.push_back(now);
            while self.sent_times.front().is_some_and(|&sent| now - sent >= per) {
                self.sent_times.pop_front();
            }
            self.most_sent = self.most_sent.max(self.sent_times.len() as u64);
        }
    }

    /// The region has answered a request.
    pub fn answered(&mut self, request: &Request<Bytes>, status: StatusCode, body: &Bytes) {
        let path = request.uri().path();
        self.submitted += u64::from(path == JOBS && status.is_success());
        let Some((id, results)) = job(path) else { return };
        let state =
            || serde_json::from_slice::<Value>(body).is_ok_and(|reply| has_ended_badly(&reply));
        match *request.method() {
            Method::DELETE if status.is_success() || status == StatusCode::NOT_FOUND => {
                self.deleted.insert(id.to_owned());
            }
            Method::GET if status == StatusCode::NOT_FOUND => self.lost += 1,
            Method::GET if !results && status.is_success() => self.lost += u64::from(state()),
            _ => {}
        }
    }

    /// Jobs that the program used and did not delete.
    pub fn left(&self) -> Vec<String> {
        self.known.difference(&self.deleted).cloned().collect()
    }
}

fn has_ended_badly(reply: &Value) -> bool {
    matches!(reply["state"].as_str(), Some("FAILED" | "EXPIRED"))
}
