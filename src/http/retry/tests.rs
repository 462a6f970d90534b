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
const FIRST: Attempt = Attempt::FIRST;
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
    let RequestError::Refused(response) = refused(403, "", None) else { unreachable!() };
    let busy =
        RequestError::Refused(ErrorResponse { kind: ErrorKind::BusyOrForbidden, ..response });
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
        (busy.clone(), 1, 0, true, half(1)),
        (busy.clone(), 2, 0, true, half(2)),
        (busy, 3, 0, true, Decision::Deny),
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
    assert_eq!(decide(&token_error(false), tokenless, &POLICY, 0.5), Decision::Stop(Stop::Login));
}

#[test]
fn an_outage_is_waited_for_and_never_splits_or_fails_a_shard() {
    let splittable = Attempt { splittable: true, ..FIRST };
    let platform = PlatformState::Silent;
    let silent = |number, outages| Attempt { number, outages, platform, ..splittable };
    let platform = PlatformState::NeverAnswered;
    let from_start = |number| Attempt { number, platform, ..splittable };
    let signs = [
        RequestError::Network("reset".into()),
        RequestError::Timeout(SECOND),
        refused(500, "", None),
        refused(504, "", None),
    ];
    for error in &signs {
        let decide = |attempt| decide(error, attempt, &POLICY, 0.5);
        for number in [1, 2, 4] {
            assert_eq!(decide(silent(number, 3)), Decision::AwaitPlatform, "{error}");
        }
        assert_ne!(decide(silent(4, 4)), Decision::AwaitPlatform, "{error}: for ever");
        let after = pause(2, &POLICY, 0.5);
        assert_eq!(decide(from_start(2)), Decision::Retry { after }, "{error}");
        assert_eq!(decide(from_start(4)), Decision::Stop(Stop::NeverAnswered), "{error}");
    }
    let decide = |error: &RequestError| decide(error, silent(1, 0), &POLICY, 0.5);
    assert_eq!(decide(&token_error(false)), Decision::AwaitPlatform);
    assert_eq!(decide(&refused(400, "", None)), Decision::GiveUp);
}

#[test]
fn a_page_that_is_too_large_and_cannot_shrink_splits_the_shard() {
    let response = refused(413, "too.large", None);
    for (splittable, expected) in [(true, Decision::Split), (false, Decision::GiveUp)] {
        let attempt = Attempt { splittable, ..FIRST };
        for error in [&RequestError::TooLarge(1), &response] {
            assert_eq!(decide(error, attempt, &POLICY, 0.5), expected, "{error} at {attempt:?}");
        }
    }
}

#[test]
fn a_page_that_cannot_be_taken_apart_twice_splits_the_shard_where_that_may_help() {
    let unreadable = RequestError::Unreadable("html".into());
    let mut attempt = Attempt { splittable: true, bisects_unreadable: true, ..FIRST };
    attempt.count(&unreadable, false);
    let after = pause(1, &POLICY, 0.5);
    assert_eq!(decide(&unreadable, attempt, &POLICY, 0.5), Decision::Retry { after });
    attempt.count(&RequestError::Network("reset".into()), false);
    attempt.count(&unreadable, false);
    assert_ne!(decide(&unreadable, attempt, &POLICY, 0.5), Decision::Split, "not in a row");
    attempt.count(&unreadable, false);
    assert_eq!(decide(&unreadable, attempt, &POLICY, 0.5), Decision::Split);
    let malformed = RequestError::Malformed("no list".into());
    assert_ne!(decide(&malformed, attempt, &POLICY, 0.5), Decision::Split, "the catalog is wrong");
    let last = Attempt { number: 4, bisects_unreadable: false, ..attempt };
    assert_eq!(decide(&unreadable, last, &POLICY, 0.5), Decision::GiveUp);
}

#[test]
fn a_pause_never_exceeds_the_longest() {
    for number in 1..200 {
        assert!(pause(number, &POLICY, 0.999) <= POLICY.longest);
    }
}
