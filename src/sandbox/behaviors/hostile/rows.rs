//! Pages with rows that cannot be decoded.

use bytes::Bytes;
use http::Response;

use crate::sandbox::behaviors::{Answer, Exchange};

pub(super) fn page_of_empty_objects(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
) -> Response<Bytes> {
    rows_in_front(exchange, answer, || b"{},".repeat(20_000))
}

pub(super) fn page_of_zeros(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    rows_in_front(exchange, answer, || b"0,".repeat(2_000_000))
}

pub(super) fn rows_with_bad_bytes(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    const ROWS: &[u8] = b"{\"conversationId\":\"\xff\"},{\"x\":\"\x01\"},{\"x\":NaN},";
    rows_in_front(exchange, answer, || ROWS.to_vec())
}

pub(super) fn deep_rows(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    rows_in_front(exchange, answer, || {
        let lists = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
        format!(
            r#"{{"conversationId":"a","conversationStart":"2024-01-01T01:00:00.000Z","participants":{lists}}},"#
        ).into_bytes()
    })
}

/// Puts rows, each with a comma behind it, in front of those of the first page of conversations or
/// contacts.
pub(super) fn rows_in_front(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    rows: impl FnOnce() -> Vec<u8>,
) -> Response<Bytes> {
    const LISTS: [&[u8]; 2] = [br#""conversations":["#, br#""completedContacts":["#];
    let reply = answer(exchange.request);
    if exchange.nth > 1 {
        return reply;
    }
    reply.map(|body| {
        let end_of = |list: &[u8]| {
            let start = body.windows(list.len()).position(|bytes| bytes == list);
            start.map(|start| start + list.len())
        };
        match LISTS.into_iter().find_map(end_of) {
            Some(at) => {
                let (head, own_rows) = body.split_at(at);
                [head, &rows(), own_rows].concat().into()
            }
            None => body,
        }
    })
}
