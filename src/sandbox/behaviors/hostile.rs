//! Replies that attack their client.

use bytes::Bytes;
use http::Response;

use crate::sandbox::behaviors::{Answer, Behavior, BehaviorKind, Exchange};

/// See the module.
pub(super) const ALL: &[Behavior] = &[
    Behavior {
        name: "page-of-empty-objects",
        kind: BehaviorKind::Hostile,
        effect: "the first page of conversations begins with 20,000 rows without a field",
        apply: |exchange, answer| rows_in_front(exchange, answer, "{},", 20_000),
    },
    Behavior {
        name: "page-of-zeros",
        kind: BehaviorKind::Hostile,
        effect: "the first page of conversations begins with 2,000,000 rows that are the number 0",
        apply: |exchange, answer| rows_in_front(exchange, answer, "0,", 2_000_000),
    },
];

/// Puts rows in front of those of the first page of conversations.
fn rows_in_front(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    row: &str,
    count: usize,
) -> Response<Bytes> {
    const LIST: &[u8] = br#""conversations":["#;
    let reply = answer(exchange.request);
    if exchange.nth > 1 {
        return reply;
    }
    reply.map(|body| match body.windows(LIST.len()).position(|bytes| bytes == LIST) {
        Some(at) => {
            let (head, rows) = body.split_at(at + LIST.len());
            [head, row.repeat(count).as_bytes(), rows].concat().into()
        }
        None => body,
    })
}
