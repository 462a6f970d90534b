//! Replies that lead to another host.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::LOCATION};
use serde_json::json;

use super::{TERMINAL, is_api, is_token, replaced, with_fields};
use crate::sandbox::behaviors::{Answer, Exchange, bare};

pub(super) fn redirect_to_another_host(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
) -> Response<Bytes> {
    replaced(exchange, answer, redirected)
}

pub(super) fn token_redirect_to_another_host(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
) -> Response<Bytes> {
    if is_token(exchange) { redirected() } else { answer(exchange.request) }
}

fn redirected() -> Response<Bytes> {
    let mut reply = bare(StatusCode::TEMPORARY_REDIRECT);
    reply.headers_mut().insert(LOCATION, HeaderValue::from_static("https://attacker.example/"));
    reply
}

pub(super) fn link_to_another_host(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    with_next_page(exchange, answer, "https://attacker.example/api/v2/routing/queues")
}

pub(super) fn control_characters_in_links(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
) -> Response<Bytes> {
    with_next_page(exchange, answer, &format!("https://x y{TERMINAL}"))
}

/// Every API reply with this link to the next page.
fn with_next_page(exchange: &Exchange<'_>, answer: Answer<'_>, link: &str) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_api(exchange) || !reply.status().is_success() {
        return reply;
    }
    with_fields(reply, &[("nextUri", json!(link))])
}
