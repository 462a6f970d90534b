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
    /// Whether the shard can be split.
    pub splittable: bool,
    /// Whether the page can be smaller.
    pub shrinkable: bool,
    /// Whether the platform answers other requests. Only used for errors that an outage explains.
    pub platform: PlatformState,
    /// The outages that the request has waited for.
    pub outages: u32,
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
    if may_be_outage(error) {
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
        RequestError::TooLarge(_) => decide_too_large(attempt),
        RequestError::NoConnection(_) => Decision::Stop(Stop::Connection),
        RequestError::Pagination(_) | RequestError::AsyncJob(_) | RequestError::NotYet(_) => {
            Decision::GiveUp
        }
        RequestError::Timeout(_) | RequestError::Network(_) | RequestError::Malformed(_)
            if attempt.number >= policy.attempts =>
        {
            Decision::GiveUp
        }
        RequestError::Timeout(_) | RequestError::Network(_) | RequestError::Malformed(_) => {
            Decision::Retry { after: pause(attempt.number, policy, jitter) }
        }
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

/// Whether an outage of the network or of the whole platform explains the error, too.
pub(crate) fn may_be_outage(error: &RequestError) -> bool {
    match error {
        RequestError::Network(_) | RequestError::Timeout(_) => true,
        RequestError::Refused(response) => {
            response.status.is_server_error() && !response.is_throttle()
        }
        RequestError::Token(error) => !error.permanent,
        _ => false,
    }
}

/// Whether the error shows that the platform's API answers.
pub(crate) fn is_answer(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Refused(_) | RequestError::Malformed(_) | RequestError::TooLarge(_)
    ) && !may_be_outage(error)
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
mod tests {
    use super::*;
    use crate::http::{dialect::Dialect, error::TokenError};

    const DIALECT: Dialect = Dialect {
        address_denied_codes: &["address.denied"],
        too_large_codes: &["too.large"],
        too_deep_messages: &["too deep"],
        ..Dialect::STANDARD
    };

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 4,
        first: Duration::from_secs(1),
        longest: Duration::from_secs(3),
        give_up_after: Duration::from_secs(600),
        outage: Duration::from_secs(3_600),
    };
    const FIRST: Attempt = Attempt {
        number: 1,
        throttles: 0,
        tokenless: 0,
        rejections: 0,
        splittable: false,
        shrinkable: false,
        platform: PlatformState::Answers,
        outages: 0,
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn refused(status: u16, code: &str, retry_after: Option<u64>) -> RequestError {
        let message = if code == "depth" { "the page is too deep" } else { "" };
        let status = StatusCode::from_u16(status).unwrap();
        RequestError::Refused(ErrorResponse {
            status,
            kind: DIALECT.classify(status, retry_after.is_some(), code, message),
            code: code.into(),
            message: message.into(),
            retry_after: retry_after.map(Duration::from_secs),
            window_is_full: None,
            correlation: "".into(),
        })
    }

    /// A 429 whose headers say whether the window is full.
    fn throttled(retry_after: Option<u64>, window_is_full: bool) -> RequestError {
        let RequestError::Refused(response) = refused(429, "", retry_after) else { unreachable!() };
        RequestError::Refused(ErrorResponse { window_is_full: Some(window_is_full), ..response })
    }

    fn token_error(permanent: bool) -> RequestError {
        RequestError::Token(TokenError {
            endpoint: String::new(),
            reason: "".into(),
            permanent,
            no_connection: false,
            wait: SECOND * 9,
            advice: "",
        })
    }

    #[test]
    fn every_error_has_its_decision() {
        use Decision::{GiveUp, GiveUpDataset, Reauthenticate, Retry, Shrink, Split, Throttled};
        use ThrottleScope::{Endpoint, Quota};
        let half = |seconds: u32| Retry { after: SECOND * seconds / 2 };
        let pause_of = |seconds: u32, scope| Throttled { after: SECOND * seconds, scope };
        let timeout = RequestError::Timeout(SECOND);
        let (reset, html) =
            (RequestError::Network("reset".into()), RequestError::Malformed("html".into()));
        let untrusted = RequestError::NoConnection("expired".into());
        let RequestError::Token(long) = token_error(false) else { unreachable!() };
        let long_token_error = RequestError::Token(TokenError { wait: SECOND * 601, ..long });
        // error, attempt, rejections, splittable and shrinkable → decision, at a jitter of one half
        let table = [
            (timeout.clone(), 1, 0, true, half(1)),
            (timeout.clone(), 2, 0, true, Split),
            (timeout.clone(), 2, 0, false, half(2)),
            (timeout, 4, 0, false, GiveUp),
            (reset.clone(), 3, 0, true, half(3)), // 4 s, limited to 3
            (reset, 4, 0, true, GiveUp),
            (untrusted, 1, 0, true, Decision::Stop(Stop::Connection)),
            (html.clone(), 1, 0, true, half(1)),
            (html, 4, 0, true, GiveUp),
            (RequestError::TooLarge(1), 1, 0, true, Shrink),
            (refused(400, "too.large", None), 1, 0, true, Shrink),
            (refused(400, "too.large", None), 1, 0, false, GiveUp),
            (RequestError::TooLarge(1), 1, 0, false, GiveUp),
            (refused(500, "", None), 1, 0, true, half(1)),
            (refused(502, "", None), 4, 0, true, GiveUp),
            (refused(504, "", None), 1, 0, true, Split),
            (refused(408, "", None), 1, 0, false, half(1)),
            (refused(400, "depth", None), 1, 0, true, Split),
            (refused(400, "depth", None), 1, 0, false, GiveUp),
            (refused(400, "bad.request", None), 1, 0, true, GiveUp),
            (refused(404, "", None), 1, 0, true, GiveUp),
            (refused(500, "", Some(20)), 1, 0, true, Retry { after: SECOND * 20 }),
            (refused(500, "", Some(601)), 1, 0, true, GiveUp),
            (refused(503, "", None), 1, 0, true, half(1)),
            (refused(503, "", None), 4, 0, true, GiveUp),
            (refused(429, "", Some(42)), 1, 0, true, pause_of(42, Quota)),
            (refused(429, "", None), 2, 0, true, pause_of(1, Quota)),
            (refused(429, "", Some(0)), 2, 0, true, pause_of(1, Quota)),
            (refused(429, "", Some(601)), 1, 0, true, GiveUpDataset),
            (refused(429, "", None), 100, 0, true, GiveUp),
            (refused(403, "", Some(42)), 1, 0, true, pause_of(42, Quota)),
            (throttled(Some(42), true), 1, 0, true, pause_of(42, Quota)),
            (throttled(Some(601), true), 1, 0, true, Decision::Stop(Stop::Quota)),
            (throttled(Some(42), false), 1, 0, true, pause_of(42, Endpoint)),
            (throttled(None, false), 2, 0, true, pause_of(1, Endpoint)),
            (throttled(Some(601), false), 1, 0, true, GiveUpDataset),
            (throttled(None, false), 100, 0, true, GiveUpDataset),
            (refused(503, "", Some(2)), 1, 0, true, pause_of(2, Endpoint)),
            (refused(503, "", Some(2)), 99, 0, true, pause_of(2, Endpoint)),
            (refused(503, "", Some(2)), 100, 0, true, GiveUpDataset),
            (refused(503, "", Some(601)), 1, 0, true, GiveUpDataset),
            (refused(401, "bad.credentials", None), 1, 1, true, Reauthenticate),
            (refused(401, "bad.credentials", None), 3, 3, true, Decision::Stop(Stop::Credentials)),
            (refused(401, "bad.credentials", None), 4, 0, true, GiveUp),
            (refused(401, "address.denied", None), 1, 1, true, Decision::Stop(Stop::Credentials)),
            (refused(403, "missing.permissions", None), 1, 0, true, Decision::Deny),
            (token_error(true), 1, 0, true, Decision::Stop(Stop::Credentials)),
            (token_error(false), 1, 0, true, Retry { after: SECOND * 9 }),
            (token_error(false), 4, 0, true, Retry { after: SECOND * 9 }),
            (long_token_error, 1, 0, true, Decision::Stop(Stop::Login)),
        ];
        for (error, number, rejections, splittable, expected) in table {
            let throttles = number;
            let attempt = Attempt {
                number,
                throttles,
                tokenless: 1,
                rejections,
                splittable,
                shrinkable: splittable,
                ..FIRST
            };
            assert_eq!(decide(&error, attempt, &POLICY, 0.5), expected, "{error} at {attempt:?}");
        }
        let tokenless = Attempt { tokenless: 4, splittable: true, shrinkable: true, ..FIRST };
        assert_eq!(
            decide(&token_error(false), tokenless, &POLICY, 0.5),
            Decision::Stop(Stop::Login)
        );
    }

    #[test]
    fn an_outage_is_waited_for_and_never_splits_or_fails_a_shard() {
        let silent = |number, outages| Attempt {
            number,
            outages,
            splittable: true,
            platform: PlatformState::Silent,
            ..FIRST
        };
        let from_start =
            |number| Attempt { platform: PlatformState::NeverAnswered, ..silent(number, 0) };
        let signs = [
            RequestError::Network("reset".into()),
            RequestError::Timeout(SECOND),
            refused(500, "", None),
            refused(504, "", None),
        ];
        for error in &signs {
            for number in [1, 2, 4] {
                let decision = decide(error, silent(number, 3), &POLICY, 0.5);
                assert_eq!(decision, Decision::AwaitPlatform, "{error} at {number}");
            }
            let decision = decide(error, silent(4, 4), &POLICY, 0.5);
            assert_ne!(decision, Decision::AwaitPlatform, "{error}: outage after outage");
            for number in [1, 2] {
                let after = pause(number, &POLICY, 0.5);
                let decision = decide(error, from_start(number), &POLICY, 0.5);
                assert_eq!(decision, Decision::Retry { after }, "{error} at {number}");
            }
            let decision = decide(error, from_start(4), &POLICY, 0.5);
            assert_eq!(decision, Decision::Stop(Stop::NeverAnswered), "{error}");
        }
        assert_eq!(
            decide(&token_error(false), silent(1, 0), &POLICY, 0.5),
            Decision::AwaitPlatform
        );
        for answer in [refused(400, "", None), RequestError::Malformed("html".into())] {
            let decision = decide(&answer, silent(4, 0), &POLICY, 0.5);
            assert_eq!(decision, Decision::GiveUp, "{answer}");
        }
    }

    #[test]
    fn a_page_that_is_too_large_and_cannot_shrink_splits_the_shard() {
        let response = refused(413, "too.large", None);
        for (splittable, expected) in [(true, Decision::Split), (false, Decision::GiveUp)] {
            let attempt = Attempt { splittable, ..FIRST };
            for error in [&RequestError::TooLarge(1), &response] {
                assert_eq!(
                    decide(error, attempt, &POLICY, 0.5),
                    expected,
                    "{error} at {attempt:?}"
                );
            }
        }
    }

    #[test]
    fn a_pause_never_exceeds_the_longest() {
        for number in 1..200 {
            assert!(pause(number, &POLICY, 0.999) <= POLICY.longest);
        }
    }
}
