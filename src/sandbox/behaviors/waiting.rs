//! Throttles, and what servers say about how long to wait.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{DATE, RETRY_AFTER},
};

use crate::sandbox::behaviors::{Answer, Behavior, BehaviorKind::Odd, Exchange, bare};

/// See the module.
pub(super) const ALL: &[Behavior] = &[
    Behavior {
        name: "throttle-without-a-word",
        kind: Odd,
        effect: "the first two requests of each path are answered 429 without a header or a body",
        apply: throttle_without_a_word,
    },
    Behavior {
        name: "retry-after-date",
        kind: Odd,
        effect: "the first request of each path is answered 429 with a date one second ahead, by a \
                 clock that is ten years slow",
        apply: retry_after_date,
    },
    Behavior {
        name: "retry-after-forms",
        kind: Odd,
        effect: "the first requests of each path of the API are answered 429 with a decimal, a padded, a \
                 negative, an unreadable and a doubled Retry-After",
        apply: retry_after_forms,
    },
    Behavior {
        name: "forbidden-for-now",
        kind: Odd,
        effect: "the first request of each path is answered 403 with Retry-After",
        apply: forbidden_for_now,
    },
    Behavior {
        name: "queues-unavailable",
        kind: Odd,
        effect: "every request for queues is answered 503 without Retry-After",
        apply: queues_unavailable,
    },
    Behavior {
        name: "queues-throttled-for-an-hour",
        kind: Odd,
        effect: "every request for queues is answered 429 with an hour to wait, while its headers \
                 say that 3 of 300 requests are used",
        apply: queues_throttled_for_an_hour,
    },
    Behavior {
        name: "queues-throttled-for-ever",
        kind: Odd,
        effect: "every request for queues is answered 429 with a Retry-After beyond 64 bits",
        apply: queues_throttled_for_ever,
    },
    Behavior {
        name: "token-endpoint-fails",
        kind: Odd,
        effect: "the first token requests are answered 400 temporarily_unavailable, 400 \
                 server_error and 429 with Retry-After",
        apply: token_endpoint_fails,
    },
    Behavior {
        name: "token-error-as-success",
        kind: Odd,
        effect: "every token request is answered 200 with an error in the body",
        apply: token_error_as_success,
    },
    Behavior {
        name: "stray-windows",
        kind: Odd,
        effect: "one reply in five has rate-limit headers that cannot be true: a window of an \
                 hour, limits of 1 and 0, a count beyond the limit, a negative and a huge number",
        apply: stray_windows,
    },
];

/// The path of the dataset that some behaviours are about.
const QUEUES: &str = "/api/v2/routing/queues";

const ALLOWED: &str = "inin-ratelimit-allowed";
const COUNT: &str = "inin-ratelimit-count";
const RESET: &str = "inin-ratelimit-reset";

fn throttle_without_a_word(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.nth <= 2 {
        return bare(StatusCode::TOO_MANY_REQUESTS);
    }
    answer(exchange.request)
}

fn retry_after_date(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.nth > 1 {
        return answer(exchange.request);
    }
    let mut reply = throttled("Fri, 01 Jan 2016 00:00:01 GMT");
    reply.headers_mut().insert(DATE, HeaderValue::from_static("Fri, 01 Jan 2016 00:00:00 GMT"));
    reply
}

fn retry_after_forms(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.request.uri().path().ends_with("/token") {
        return answer(exchange.request);
    }
    let mut reply = match exchange.nth {
        1 => return throttled("0.2"),
        2 => return throttled("  1\t"),
        3 => return throttled("-5"),
        4 => return throttled("soon"),
        5 => throttled("0"),
        _ => return answer(exchange.request),
    };
    reply.headers_mut().append(RETRY_AFTER, HeaderValue::from_static("0.1"));
    reply
}

fn forbidden_for_now(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.nth > 1 {
        return answer(exchange.request);
    }
    Response::builder()
        .status(StatusCode::FORBIDDEN)
        .header(RETRY_AFTER, 1)
        .body(Bytes::from_static(b"{\"message\":\"secondary rate limit\"}"))
        .unwrap_or_default()
}

fn queues_unavailable(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.request.uri().path() == QUEUES {
        return bare(StatusCode::SERVICE_UNAVAILABLE);
    }
    answer(exchange.request)
}

fn queues_throttled_for_an_hour(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.request.uri().path() != QUEUES {
        return answer(exchange.request);
    }
    let mut reply = throttled("3600");
    for (name, value) in [(ALLOWED, "300"), (COUNT, "3"), (RESET, "57")] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

fn queues_throttled_for_ever(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.request.uri().path() != QUEUES {
        return answer(exchange.request);
    }
    throttled("99999999999999999999999999")
}

fn token_endpoint_fails(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if !exchange.request.uri().path().ends_with("/token") {
        return answer(exchange.request);
    }
    let (status, body) = match exchange.nth {
        1 => (StatusCode::BAD_REQUEST, r#"{"error":"temporarily_unavailable"}"#),
        2 => (StatusCode::BAD_REQUEST, r#"{"error":"server_error"}"#),
        3 => return throttled("3"),
        _ => return answer(exchange.request),
    };
    let body = Bytes::from_static(body.as_bytes());
    Response::builder().status(status).body(body).unwrap_or_default()
}

fn token_error_as_success(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if !exchange.request.uri().path().ends_with("/token") {
        return answer(exchange.request);
    }
    Response::new(Bytes::from_static(
        br#"{"error":"invalid_client","error_description":"the client is disabled"}"#,
    ))
}

fn stray_windows(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let mut reply = answer(exchange.request);
    if exchange.nth.is_multiple_of(5) && reply.headers().contains_key(RESET) {
        let (name, value) = match exchange.nth / 5 % 6 {
            0 => (RESET, "3600"),
            1 => (ALLOWED, "1"),
            2 => (ALLOWED, "0"),
            3 => (COUNT, "4000000000"),
            4 => (COUNT, "-7"),
            _ => (RESET, "99999999999999999999"),
        };
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// A 429 with this `Retry-After`.
fn throttled(retry_after: &'static str) -> Response<Bytes> {
    let mut reply = bare(StatusCode::TOO_MANY_REQUESTS);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
    reply
}
