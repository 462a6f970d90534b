//! What platforms do to asynchronous jobs, beside what can happen to any request.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use super::request_recorder::{JOBS, job};

/// The number of faults of each kind so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobFaults {
    /// Polls that found a job in a state that is documented nowhere.
    pub unknown: u64,
    /// Polls that found a job cancelled.
    pub cancelled: u64,
    /// Submissions that were refused.
    pub refused: u64,
    /// Submissions whose replies were lost although the job exists.
    pub lost_replies: u64,
}

impl JobFaults {
    /// The status that refuses a submission. `None` if it is not refused. A query can replace the
    /// job if it is `optional`, so that a missing permission is no reason to end.
    pub fn refusal(
        &mut self,
        rng: &mut fastrand::Rng,
        fault_rate: f64,
        is_optional: bool,
        request: &Request<Bytes>,
    ) -> Option<u16> {
        if !is_submission(request) || rng.f64() >= fault_rate {
            return None;
        }
        self.refused += 1;
        let statuses: &[u16] = if is_optional { &[400, 403, 404] } else { &[400, 404] };
        rng.choice(statuses).copied()
    }

    /// Changes the state of a job in the reply to a poll.
    pub fn change_state(
        &mut self,
        rng: &mut fastrand::Rng,
        fault_rate: f64,
        request: &Request<Bytes>,
        reply: &mut Response<Bytes>,
    ) {
        let is_poll = request.method() == Method::GET
            && job(request.uri().path()).is_some_and(|(_, results)| !results);
        if !is_poll || !reply.status().is_success() || rng.f64() >= fault_rate {
            return;
        }
        let Ok(mut status) = serde_json::from_slice::<Value>(reply.body()) else { return };
        let is_cancelled = rng.bool();
        status["state"] = json!(if is_cancelled { "CANCELLED" } else { "PAUSED" });
        *(if is_cancelled { &mut self.cancelled } else { &mut self.unknown }) += 1;
        *reply.body_mut() = status.to_string().into();
    }

    /// Counts a submission that succeeded, and whose reply does not arrive.
    pub fn reply_is_lost(&mut self, request: &Request<Bytes>, reply: &Response<Bytes>) {
        self.lost_replies += u64::from(is_submission(request) && reply.status().is_success());
    }
}

fn is_submission(request: &Request<Bytes>) -> bool {
    request.method() == Method::POST && request.uri().path() == JOBS
}
