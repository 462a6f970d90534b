//! Who saw every request: what was sent when, and what became of jobs.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::time::Duration;

/// Where jobs are submitted.
const JOBS: &str = "/api/v2/analytics/conversations/details/jobs";

/// What was seen.
#[derive(Debug, Default)]
pub struct RequestRecorder {
    /// Jobs that somebody asked after: the program knew of them.
    known: BTreeSet<String>,
    /// Those that the region has no longer.
    deleted: BTreeSet<String>,
    /// When the API requests of the last window's length left.
    sent: VecDeque<Duration>,
    /// The most of them.
    pub most_sent: u64,
    /// Jobs submitted.
    pub submitted: u64,
    /// Replies that said that a job has failed or is gone.
    pub lost: u64,
}

/// The id in the path of a job, and whether it is its results that are asked for.
pub fn job(path: &str) -> Option<(&str, bool)> {
    let mut parts = path.strip_prefix(JOBS)?.strip_prefix('/')?.split('/');
    let id = parts.next().filter(|&id| id != "availability")?;
    Some((id, parts.next().is_some()))
}

/// Whether it is data that is asked for, and not a token.
pub fn is_api(request: &Request<Bytes>) -> bool {
    request.uri().path().starts_with("/api/")
}

impl RequestRecorder {
    /// A run begins: it cannot know what the one before has sent.
    pub fn begin(&mut self) {
        self.sent.clear();
    }

    /// A request leaves.
    pub fn leaves(&mut self, request: &Request<Bytes>, now: Duration, per: Duration) {
        self.known.extend(job(request.uri().path()).map(|(id, _)| id.to_owned()));
        if is_api(request) {
            self.sent.push_back(now);
            while self.sent.front().is_some_and(|&sent| now - sent >= per) {
                self.sent.pop_front();
            }
            self.most_sent = self.most_sent.max(self.sent.len() as u64);
        }
    }

    /// The region has answered it.
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

    /// The jobs that the program knew of and did not delete.
    pub fn left(&self) -> Vec<String> {
        self.known.difference(&self.deleted).cloned().collect()
    }
}

fn has_ended_badly(reply: &Value) -> bool {
    matches!(reply["state"].as_str(), Some("FAILED" | "EXPIRED"))
}
