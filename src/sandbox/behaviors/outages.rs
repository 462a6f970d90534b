//! Servers, networks and certificates that fail.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::sandbox::behaviors::{Answer, Behavior, BehaviorKind, Exchange, bare};

/// See the module.
pub(super) const ALL: &[Behavior] = &[
    Behavior {
        name: "maintenance",
        kind: BehaviorKind::Odd,
        effect: "every request of the first second is answered 503 without a header or a body",
        apply: maintenance,
    },
    Behavior {
        name: "outage",
        kind: BehaviorKind::Odd,
        effect: "two seconds after the start every request is answered 502, for two seconds",
        apply: outage,
    },
    Behavior {
        name: "broken-query",
        kind: BehaviorKind::Odd,
        effect: "every query for details is answered 500, while everything else works",
        apply: broken_query,
    },
    Behavior {
        name: "slow-query",
        kind: BehaviorKind::Odd,
        effect: "every query for details is answered 504, however narrow its interval is",
        apply: slow_query,
    },
    Behavior {
        name: "page-of-a-proxy",
        kind: BehaviorKind::Odd,
        effect: "every query for details is answered 200 with the page of a proxy in HTML",
        apply: page_of_a_proxy,
    },
    Behavior {
        name: "huge-replies",
        kind: BehaviorKind::Hostile,
        effect: "every reply to a query for details is 1 MiB longer",
        apply: huge_replies,
    },
];

fn maintenance(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.now < Duration::from_secs(1) {
        return bare(StatusCode::SERVICE_UNAVAILABLE);
    }
    answer(exchange.request)
}

fn outage(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if (2..4).contains(&exchange.now.as_secs()) {
        return bare(StatusCode::BAD_GATEWAY);
    }
    answer(exchange.request)
}

fn is_details_query(exchange: &Exchange<'_>) -> bool {
    exchange.request.uri().path().ends_with("/details/query")
}

fn broken_query(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_details_query(exchange) {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    }
    answer(exchange.request)
}

fn slow_query(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_details_query(exchange) {
        return bare(StatusCode::GATEWAY_TIMEOUT);
    }
    answer(exchange.request)
}

fn page_of_a_proxy(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_details_query(exchange) {
        return Response::new(Bytes::from_static(b"<html><body>Please log in</body></html>"));
    }
    answer(exchange.request)
}

fn huge_replies(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_details_query(exchange) {
        return reply;
    }
    reply.map(|body| [&body[..], &[b' '; 1 << 20]].concat().into())
}
