//! Throttles, and what servers say about how long to wait.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::sandbox::behaviors::{Answer, Behavior, BehaviorKind, Exchange, bare};

/// See the module.
pub(super) const ALL: &[Behavior] = &[Behavior {
    name: "throttle-without-a-word",
    kind: BehaviorKind::Odd,
    effect: "the first two requests of each path are answered 429 without a header or a body",
    apply: throttle_without_a_word,
}];

fn throttle_without_a_word(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.nth <= 2 {
        return bare(StatusCode::TOO_MANY_REQUESTS);
    }
    answer(exchange.request)
}
