//! What to do about a request error: one pure function, [`decide`], and its table of tests.
//!
//! No other module decides about retries. `fetch` carries the decision out.

use std::time::Duration;

use http::StatusCode;

use crate::http::{
    dialect::ErrorKind,
    error::{ErrorResponse, RequestError},
    throttle::ThrottleScope,
};

/// New tokens in a row that one request may be rejected with before the run stops.
const MOST_REJECTIONS: u32 = 3;

/// Attempts after which a response that may mean "slow down" is taken for a refusal.
const MOST_DOUBTFUL_ATTEMPTS: u32 = 3;

/// Throttled attempts of one request before it fails: about an hour if the server gives no
/// `Retry-After`.
const MOST_THROTTLES: u32 = 100;

/// The limits of `[retry]`.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts of one request before its shard fails.
    pub attempts: u32,
    /// The upper bound of the first pause; it doubles with every attempt.
    pub first: Duration,
    /// The upper bound of every pause.
    pub longest: Duration,
    /// The longest `Retry-After` that is waited for. A longer one ends the run if it is about the
    /// credential's quota or the token endpoint, and else costs the dataset.
    pub give_up_after: Duration,
    /// The longest outage that is waited for; a longer one ends the run.
    pub outage: Duration,
}

/// The state of a request when an attempt has failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The number of the failed attempt, from 1. Attempts without a token and throttled ones do not
    /// count.
    pub number: u32,
    /// Throttled attempts, this one included.
    pub throttles: u32,
    /// Attempts in a row that got no token, this one included.
    pub tokenless: u32,
    /// Attempts in a row that were answered 401 with a token that was never accepted, this one
    /// included. A token that was accepted before has expired or was revoked, which is normal.
    pub rejections: u32,
    /// Attempts in a row that got a page that cannot be taken apart, this one included.
    pub unreadable: u32,
    /// Whether the shard can be split.
    pub splittable: bool,
    /// Whether it is split if a page cannot be taken apart.
    pub bisects_unreadable: bool,
    /// Whether the page can be smaller.
    pub shrinkable: bool,
    /// Whether the platform answers other requests. Only used for errors that an outage explains.
    pub platform: PlatformState,
    /// The outages that the request has waited for.
    pub outages: u32,
}

impl Attempt {
    /// The first attempt of a request of a shard that cannot be split.
    pub(crate) const FIRST: Self = Self {
        number: 1,
        throttles: 0,
        tokenless: 0,
        rejections: 0,
        unreadable: 0,
        splittable: false,
        bisects_unreadable: false,
        shrinkable: false,
        platform: PlatformState::Answers,
        outages: 0,
    };

    /// Counts a failed attempt by its error. `token_was_new` tells whether its token was rejected
    /// and had never been accepted.
    pub(crate) fn count(&mut self, error: &RequestError, token_was_new: bool) {
        let add_if = |is_counted, count: u32| if is_counted { count + 1 } else { 0 };
        self.tokenless = add_if(matches!(error, RequestError::Token(_)), self.tokenless);
        self.rejections = add_if(token_was_new, self.rejections);
        self.unreadable = add_if(matches!(error, RequestError::Unreadable(_)), self.unreadable);
        self.throttles += u32::from(error.is_throttle());
    }
}

/// Whether the platform answers at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlatformState {
    /// As far as is known it does.
    Answers,
    /// It did in this run, and does not now: an outage.
    Silent,
    /// It has not answered since the start of the run.
    NeverAnswered,
}

/// What to do about a request error.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Send the request again after a pause.
    Retry {
        /// How long this request pauses.
        after: Duration,
    },
    /// The server throttles: other requests pause too, then this one is sent again.
    Throttled {
        /// How long no request is admitted.
        after: Duration,
        /// Which requests pause.
        scope: ThrottleScope,
    },
    /// The platform does not answer anybody: wait until it does, and send the request again.
    AwaitPlatform,
    /// The token was rejected: send the request again with a newer one.
    Reauthenticate,
    /// The shard is too big for the platform: split it.
    Split,
    /// The page is too large: request half as many rows.
    Shrink,
    /// The shard fails; the run goes on.
    GiveUp,
    /// The endpoint does not answer for longer than is waited for: skip the dataset in this run;
    /// other datasets go on.
    GiveUpDataset,
    /// The credentials may not read the dataset: skip it; other datasets go on.
    Deny,
    /// End the run: no further request can succeed.
    Stop(Stop),
}

/// Why a run ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The credentials are wrong.
    Credentials,
    /// The server throttles for longer than `retry.give_up_after`.
    Quota,
    /// The login host does not answer.
    Login,
    /// There is no connection to the platform until a person mends something.
    Connection,
    /// The platform has not answered since the start of the run.
    NeverAnswered,
    /// The platform has stopped answering for longer than `retry.outage`.
    Outage,
}

/// Decides what to do about `error`. `jitter`, in [0, 1), is the part of the upper bound that a
/// pause takes ("full jitter"), so that requests that failed together are not sent again together.
pub(crate) fn decide(
    error: &RequestError,
    attempt: Attempt,
    policy: &RetryPolicy,
    jitter: f64,
) -> Decision {
    if error.may_be_outage() {
        match attempt.platform {
            PlatformState::Silent if attempt.outages < policy.attempts => {
                return Decision::AwaitPlatform;
            }
            PlatformState::NeverAnswered if attempt.tokenless == 0 => {
                return match attempt.number >= policy.attempts {
                    true => Decision::Stop(Stop::NeverAnswered),
                    false => Decision::Retry { after: pause(attempt.number, policy, jitter) },
                };
            }
            _ => {}
        }
    }
    match error {
        RequestError::Refused(response) => decide_response(response, attempt, policy, jitter),
        RequestError::Timeout(_) if attempt.splittable && attempt.number > 1 => Decision::Split,
        RequestError::Unreadable(_) if attempt.bisects_unreadable && attempt.unreadable > 1 => {
            Decision::Split
        }
        RequestError::TooLarge(_) => decide_too_large(attempt),
        RequestError::NoConnection(_) => Decision::Stop(Stop::Connection),
        RequestError::Pagination(_)
        | RequestError::AsyncJob(_)
        | RequestError::NotYet(_)
        | RequestError::NewField(_) => Decision::GiveUp,
        RequestError::Timeout(_)
        | RequestError::Network(_)
        | RequestError::Malformed(_)
        | RequestError::Unreadable(_) => match attempt.number >= policy.attempts {
            true => Decision::GiveUp,
            false => Decision::Retry { after: pause(attempt.number, policy, jitter) },
        },
        RequestError::Token(error) if error.no_connection => Decision::Stop(Stop::Connection),
        RequestError::Token(error) if error.permanent => Decision::Stop(Stop::Credentials),
        RequestError::Token(error) if error.wait > policy.give_up_after => {
            Decision::Stop(Stop::Login)
        }
        // the shard is not the cause, so it does not fail
        RequestError::Token(_) if attempt.tokenless >= policy.attempts => {
            Decision::Stop(Stop::Login)
        }
        RequestError::Token(error) => {
            Decision::Retry { after: error.wait.max(pause(attempt.tokenless, policy, jitter)) }
        }
    }
}

/// Decides about a response with an error status.
fn decide_response(
    response: &ErrorResponse,
    attempt: Attempt,
    policy: &RetryPolicy,
    jitter: f64,
) -> Decision {
    let attempts_used_up = attempt.number >= policy.attempts;
    match (response.kind, response.status) {
        (ErrorKind::Throttle, _) => decide_throttle(response, attempt, policy, jitter),
        (ErrorKind::AddressDenied, _) => Decision::Stop(Stop::Credentials),
        (_, StatusCode::UNAUTHORIZED) if attempt.rejections >= MOST_REJECTIONS => {
            Decision::Stop(Stop::Credentials)
        }
        (_, StatusCode::UNAUTHORIZED) if attempts_used_up => Decision::GiveUp,
        (_, StatusCode::UNAUTHORIZED) => Decision::Reauthenticate,
        (ErrorKind::BusyOrForbidden, _)
            if !attempts_used_up && attempt.number < MOST_DOUBTFUL_ATTEMPTS =>
        {
            Decision::Retry { after: pause(attempt.number, policy, jitter) }
        }
        (_, StatusCode::FORBIDDEN) => Decision::Deny,
        // the platform took too long for the query
        (_, StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT) if attempt.splittable => {
            Decision::Split
        }
        (ErrorKind::TooLarge, _) if attempt.shrinkable || attempt.splittable => {
            decide_too_large(attempt)
        }
        (ErrorKind::TooDeep | ErrorKind::TooWide, _) if attempt.splittable => Decision::Split,
        (_, status) if is_transient(status) && !attempts_used_up => {
            let asked = response.retry_after.unwrap_or_default();
            let after = pause(attempt.number, policy, jitter).max(asked);
            if after > policy.give_up_after { Decision::GiveUp } else { Decision::Retry { after } }
        }
        _ => Decision::GiveUp,
    }
}

fn decide_throttle(
    response: &ErrorResponse,
    attempt: Attempt,
    policy: &RetryPolicy,
    jitter: f64,
) -> Decision {
    let scope = ThrottleScope::of(response);
    // a pause of no time would be none at all
    let asked = response.retry_after.filter(|pause| !pause.is_zero());
    if asked.is_some_and(|asked| asked > policy.give_up_after) {
        // only the headers of the window prove that no dataset can be fetched
        let is_quota = scope == ThrottleScope::Quota && response.window_is_full.is_some();
        return if is_quota { Decision::Stop(Stop::Quota) } else { Decision::GiveUpDataset };
    }
    if attempt.throttles >= MOST_THROTTLES {
        return match scope {
            ThrottleScope::Quota => Decision::GiveUp,
            ThrottleScope::Endpoint => Decision::GiveUpDataset,
        };
    }
    let after = asked.unwrap_or_else(|| pause(attempt.throttles, policy, jitter));
    Decision::Throttled { after, scope }
}

fn decide_too_large(attempt: Attempt) -> Decision {
    match attempt {
        Attempt { shrinkable: true, .. } => Decision::Shrink,
        Attempt { splittable: true, .. } => Decision::Split,
        _ => Decision::GiveUp,
    }
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

/// The pause after attempt `number`.
pub(crate) fn pause(number: u32, policy: &RetryPolicy, jitter: f64) -> Duration {
    let doublings = number.saturating_sub(1).min(20);
    policy.first.saturating_mul(1 << doublings).min(policy.longest).mul_f64(jitter)
}

#[cfg(test)]
mod tests;
