//! What to do about a fault: one pure function, and its table.
//!
//! Nothing else in the program decides about retries, and only `fetch` carries a decision out.

use std::time::Duration;

use http::StatusCode;

use crate::http::error::{ErrorResponse, RequestError};

/// Fresh tokens in a row that one request was rejected with, after which tokens are not the reason.
const MOST_REJECTIONS: u32 = 3;

/// How often one request is told to wait before it is given up: an hour or so, where nobody says for
/// how long.
const MOST_THROTTLES: u32 = 100;

/// The limits of `[retry]`.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts of one request before its shard is set aside.
    pub attempts: u32,
    /// The ceiling of the first pause; it doubles with every attempt.
    pub first: Duration,
    /// The ceiling that it does not pass.
    pub longest: Duration,
    /// The longest `Retry-After` that is waited for.
    pub give_up_after: Duration,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// Which attempt failed, from 1. Those that got no token and those that were throttled do not count.
    pub number: u32,
    /// How many attempts were throttled, this one included.
    pub throttles: u32,
    /// How many attempts in a row got no token, this one included.
    pub tokenless: u32,
    /// How many attempts in a row were answered 401 with a token that was never accepted, this one
    /// included. A token that was accepted once has expired or was revoked: that happens.
    pub rejections: u32,
    /// Whether the shard can be bisected.
    pub splittable: bool,
    /// Whether a page can be smaller.
    pub shrinkable: bool,
}

/// What to do about a fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Ask again after a pause of this request alone.
    Retry {
        /// The pause.
        after: Duration,
    },
    /// The server throttles: everyone with this key pauses, then ask again.
    Throttled {
        /// How long the gate stays closed.
        after: Duration,
    },
    /// The token was rejected: ask again with a newer one.
    Reauthenticate,
    /// The shard is too big for the platform: bisect it.
    Split,
    /// The page is too large, for the platform or for us: halve it.
    Shrink,
    /// Set the shard aside; the run goes on.
    GiveUp,
    /// The credentials may not read the dataset: give it up, and go on with the others.
    Deny,
    /// Nothing that the run could do would help: end it.
    Stop(Stop),
}

/// Why a run ends before its time: who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The credentials are wrong.
    Credentials,
    /// The quota is closed for longer than `retry.give_up_after`.
    Quota,
    /// The login host does not answer.
    Login,
}

/// Decides about `fault`. `jitter`, in [0, 1), spreads the pauses ("full jitter": anything between
/// nothing and the ceiling), so that callers that failed together do not return together.
pub(crate) fn decide(
    fault: &RequestError,
    attempt: Attempt,
    policy: &RetryPolicy,
    jitter: f64,
) -> Decision {
    match fault {
        RequestError::Refused(refusal) => decide_refusal(refusal, attempt, policy, jitter),
        RequestError::Timeout(_) if attempt.splittable && attempt.number > 1 => Decision::Split,
        RequestError::TooLarge(_) if attempt.shrinkable => Decision::Shrink,
        RequestError::TooLarge(_) if attempt.splittable => Decision::Split,
        RequestError::TooLarge(_)
        | RequestError::Pagination(_)
        | RequestError::AsyncJob(_)
        | RequestError::NotYet(_) => Decision::GiveUp,
        RequestError::Timeout(_) | RequestError::Network(_) | RequestError::Malformed(_)
            if attempt.number >= policy.attempts =>
        {
            Decision::GiveUp
        }
        RequestError::Timeout(_) | RequestError::Network(_) | RequestError::Malformed(_) => {
            Decision::Retry { after: pause(attempt.number, policy, jitter) }
        }
        RequestError::Login(login) if login.permanent => Decision::Stop(Stop::Credentials),
        // no fault of the shard's: it is not set aside for it
        RequestError::Login(_) if attempt.tokenless >= policy.attempts => {
            Decision::Stop(Stop::Login)
        }
        RequestError::Login(login) => {
            Decision::Retry { after: login.wait.max(pause(attempt.tokenless, policy, jitter)) }
        }
    }
}

fn decide_refusal(
    refusal: &ErrorResponse,
    attempt: Attempt,
    policy: &RetryPolicy,
    jitter: f64,
) -> Decision {
    let spent = attempt.number >= policy.attempts;
    match refusal.status {
        StatusCode::UNAUTHORIZED if refusal.code == "ip.not.authorized" => {
            Decision::Stop(Stop::Credentials)
        }
        StatusCode::UNAUTHORIZED if attempt.rejections >= MOST_REJECTIONS => {
            Decision::Stop(Stop::Credentials)
        }
        StatusCode::UNAUTHORIZED if spent => Decision::GiveUp,
        StatusCode::UNAUTHORIZED => Decision::Reauthenticate,
        StatusCode::FORBIDDEN => Decision::Deny,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            match refusal.retry_after {
                Some(after) if after > policy.give_up_after => Decision::Stop(Stop::Quota),
                // to be told to wait is no fault of the request's, as long as that comes to an end
                _ if attempt.throttles >= MOST_THROTTLES => Decision::GiveUp,
                Some(after) => Decision::Throttled { after },
                None => Decision::Throttled { after: pause(attempt.throttles, policy, jitter) },
            }
        }
        // the platform's own word that the query is too slow, or reaches too deep
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT if attempt.splittable => {
            Decision::Split
        }
        _ if refusal.code == "response.entity.too.large" && attempt.shrinkable => Decision::Shrink,
        _ if refusal.code == "response.entity.too.large" && attempt.splittable => Decision::Split,
        StatusCode::BAD_REQUEST
            if refusal.message.contains("Pagination may not exceed") && attempt.splittable =>
        {
            Decision::Split
        }
        status if !spent && (status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT) => {
            Decision::Retry { after: pause(attempt.number, policy, jitter) }
        }
        _ => Decision::GiveUp,
    }
}

/// The pause after attempt `number`.
fn pause(number: u32, policy: &RetryPolicy, jitter: f64) -> Duration {
    let doublings = number.saturating_sub(1).min(20);
    policy.first.saturating_mul(1 << doublings).min(policy.longest).mul_f64(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::TokenError;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 4,
        first: Duration::from_secs(1),
        longest: Duration::from_secs(3),
        give_up_after: Duration::from_secs(600),
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn refused(status: u16, code: &str, retry_after: Option<u64>) -> RequestError {
        RequestError::Refused(ErrorResponse {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.into(),
            message: if code == "depth" {
                "Pagination may not exceed 100000 results.".into()
            } else {
                String::new()
            },
            retry_after: retry_after.map(Duration::from_secs),
            correlation: String::new(),
        })
    }

    fn login(permanent: bool) -> RequestError {
        RequestError::Login(TokenError {
            endpoint: String::new(),
            reason: String::new(),
            permanent,
            wait: SECOND * 9,
            advice: "",
        })
    }

    #[test]
    fn every_fault_has_its_decision() {
        use Decision::{GiveUp, Reauthenticate, Retry, Shrink, Split, Throttled};
        let half = |seconds: u32| Retry { after: SECOND * seconds / 2 };
        let timeout = RequestError::Timeout(SECOND);
        let (reset, html) =
            (RequestError::Network("reset".into()), RequestError::Malformed("html".into()));
        // fault, attempt, rejections, splittable and shrinkable → decision, at a jitter of one half
        let table = [
            (timeout.clone(), 1, 0, true, half(1)),
            (timeout.clone(), 2, 0, true, Split),
            (timeout.clone(), 2, 0, false, half(2)),
            (timeout, 4, 0, false, GiveUp),
            (reset.clone(), 3, 0, true, half(3)), // 4 s, cut to 3
            (reset, 4, 0, true, GiveUp),
            (html.clone(), 1, 0, true, half(1)),
            (html, 4, 0, true, GiveUp),
            (RequestError::TooLarge(1), 1, 0, true, Shrink),
            (refused(400, "response.entity.too.large", None), 1, 0, true, Shrink),
            (refused(400, "response.entity.too.large", None), 1, 0, false, GiveUp),
            (RequestError::TooLarge(1), 1, 0, false, GiveUp),
            (refused(500, "", None), 1, 0, true, half(1)),
            (refused(502, "", None), 4, 0, true, GiveUp),
            (refused(504, "", None), 1, 0, true, Split),
            (refused(408, "", None), 1, 0, false, half(1)),
            (refused(400, "depth", None), 1, 0, true, Split),
            (refused(400, "depth", None), 1, 0, false, GiveUp),
            (refused(400, "bad.request", None), 1, 0, true, GiveUp),
            (refused(404, "", None), 1, 0, true, GiveUp),
            (refused(429, "", Some(42)), 1, 0, true, Throttled { after: SECOND * 42 }),
            (refused(429, "", None), 2, 0, true, Throttled { after: SECOND }),
            (refused(429, "", Some(601)), 1, 0, true, Decision::Stop(Stop::Quota)),
            (refused(503, "", Some(2)), 1, 0, true, Throttled { after: SECOND * 2 }),
            (refused(503, "", Some(2)), 99, 0, true, Throttled { after: SECOND * 2 }),
            (refused(503, "", Some(2)), 100, 0, true, GiveUp),
            (refused(401, "bad.credentials", None), 1, 1, true, Reauthenticate),
            (refused(401, "bad.credentials", None), 3, 3, true, Decision::Stop(Stop::Credentials)),
            (refused(401, "bad.credentials", None), 4, 0, true, GiveUp),
            (
                refused(401, "ip.not.authorized", None),
                1,
                1,
                true,
                Decision::Stop(Stop::Credentials),
            ),
            (refused(403, "missing.permissions", None), 1, 0, true, Decision::Deny),
            (login(true), 1, 0, true, Decision::Stop(Stop::Credentials)),
            (login(false), 1, 0, true, Retry { after: SECOND * 9 }),
            (login(false), 4, 0, true, Retry { after: SECOND * 9 }),
        ];
        for (fault, number, rejections, splittable, expected) in table {
            let throttles = number;
            let attempt = Attempt {
                number,
                throttles,
                tokenless: 1,
                rejections,
                splittable,
                shrinkable: splittable,
            };
            assert_eq!(decide(&fault, attempt, &POLICY, 0.5), expected, "{fault} at {attempt:?}");
        }
        let tokenless = Attempt {
            number: 1,
            throttles: 0,
            tokenless: 4,
            rejections: 0,
            splittable: true,
            shrinkable: true,
        };
        assert_eq!(decide(&login(false), tokenless, &POLICY, 0.5), Decision::Stop(Stop::Login));
    }

    #[test]
    fn what_is_too_large_and_cannot_shrink_splits_where_the_shard_can_be_bisected() {
        let said = refused(413, "response.entity.too.large", None);
        for (splittable, expected) in [(true, Decision::Split), (false, Decision::GiveUp)] {
            let attempt = Attempt {
                number: 1,
                throttles: 0,
                tokenless: 0,
                rejections: 0,
                splittable,
                shrinkable: false,
            };
            for fault in [&RequestError::TooLarge(1), &said] {
                assert_eq!(
                    decide(fault, attempt, &POLICY, 0.5),
                    expected,
                    "{fault} at {attempt:?}"
                );
            }
        }
    }

    #[test]
    fn a_pause_never_passes_its_ceiling() {
        for number in 1..200 {
            assert!(pause(number, &POLICY, 0.999) <= POLICY.longest);
        }
    }
}
