//! Servers, networks and certificates that fail.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::sandbox::behaviors::{Answer, Behavior, BehaviorKind, Exchange, bare};

/// See the module.
pub(super) const ALL: &[Behavior] = &[Behavior {
    name: "maintenance",
    kind: BehaviorKind::Odd,
    effect: "every request of the first second is answered 503 without a header or a body",
    apply: maintenance,
}];

fn maintenance(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.now < Duration::from_secs(1) {
        return bare(StatusCode::SERVICE_UNAVAILABLE);
    }
    answer(exchange.request)
}
