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
        apply: |exchange, answer| rows_in_front(exchange, answer, b"{},", 20_000),
    },
    Behavior {
        name: "page-of-zeros",
        kind: BehaviorKind::Hostile,
        effect: "the first page of conversations begins with 2,000,000 rows that are the number 0",
        apply: |exchange, answer| rows_in_front(exchange, answer, b"0,", 2_000_000),
    },
    Behavior {
        name: "rows-with-bad-bytes",
        kind: BehaviorKind::Hostile,
        effect: "the first page of conversations begins with a row that is not UTF-8, one with a raw \
            control character and one with a bare NaN",
        apply: |exchange, answer| {
            const ROWS: &[u8] = b"{\"conversationId\":\"\xff\"},{\"x\":\"\x01\"},{\"x\":NaN},";
            rows_in_front(exchange, answer, ROWS, 1)
        },
    },
];

/// Puts rows with their commas in front of those of the first page of conversations.
fn rows_in_front(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    row: &[u8],
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
            [head, &row.repeat(count), rows].concat().into()
        }
        None => body,
    })
}
