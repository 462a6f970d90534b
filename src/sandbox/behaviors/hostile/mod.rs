//! Replies that attack their client.

mod other_hosts;
mod personal;
mod rows;
mod secrets;
mod wire;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use self::{
    other_hosts::{
        control_characters_in_links, link_to_another_host, redirect_to_another_host,
        token_redirect_to_another_host,
    },
    personal::{personal_errors, personal_jobs, personal_retries, personal_rows},
    rows::{deep_rows, page_of_empty_objects, page_of_zeros, rows_with_bad_bytes},
    secrets::{echoed_secrets, job_named_after_a_token, rows_that_quote_secrets},
    wire::{
        early_close, endless_body, endless_header, endless_token, gzip_bomb, header_flood,
        invalid_status_line, long_content_length, short_content_length, slow_body,
    },
};
use crate::sandbox::{
    behaviors::{Answer, Behavior, BehaviorKind, Exchange},
    error,
};

/// See the module.
pub(super) const ALL: &[Behavior] = &[
    hostile(
        "echoed-secrets",
        "the first token request and every API request are refused, quoting all that was sent",
        echoed_secrets,
    ),
    hostile(
        "job-named-after-a-token",
        "the id of a submitted job is the token that it was submitted with",
        job_named_after_a_token,
    ),
    hostile(
        "rows-that-quote-secrets",
        "pages of conversations quote the token in many forms, in rows that cannot be decoded and in new \
         fields",
        rows_that_quote_secrets,
    ),
    hostile(
        "control-characters-in-errors",
        "every API request is refused with terminal commands and forged lines in message and code",
        control_characters_in_errors,
    ),
    hostile(
        "control-characters-in-jobs",
        "every job has failed, with terminal commands in its state",
        control_characters_in_jobs,
    ),
    hostile(
        "control-characters-in-links",
        "the link to the next page has terminal commands and no host",
        control_characters_in_links,
    ),
    hostile(
        "link-to-another-host",
        "the link to the next page leads to another host",
        link_to_another_host,
    ),
    hostile(
        "token-redirect-to-another-host",
        "every token request is redirected to another host",
        token_redirect_to_another_host,
    ),
    hostile(
        "redirect-to-another-host",
        "every API request is redirected to another host",
        redirect_to_another_host,
    ),
    hostile(
        "gzip-bomb",
        "the first API replies are a gigabyte of spaces, compressed to one megabyte",
        gzip_bomb,
    ),
    hostile("endless-body", "the first API replies never end", endless_body),
    hostile("endless-token", "every token reply never ends", endless_token),
    hostile("slow-body", "the first API replies take a second for each byte", slow_body),
    hostile("early-close", "the connection of the first API requests is closed", early_close),
    hostile("invalid-status-line", "the first API replies are not HTTP", invalid_status_line),
    hostile("header-flood", "the first API replies have 10,000 headers", header_flood),
    hostile("endless-header", "the first API replies have a header of 8 MB", endless_header),
    hostile(
        "long-content-length",
        "the first API replies end before the length that they state",
        long_content_length,
    ),
    hostile(
        "short-content-length",
        "the first API replies go on after the length that they state",
        short_content_length,
    ),
    hostile("nul-bytes", "the first API replies have NUL bytes between their tokens", nul_bytes),
    hostile(
        "deep-nesting",
        "the rows of every API reply are 500,000 opening brackets",
        deep_nesting,
    ),
    hostile(
        "deep-rows",
        "the first page of conversations begins with a row that nests a million lists",
        deep_rows,
    ),
    hostile(
        "page-of-empty-objects",
        "the first page of conversations begins with 20,000 rows without a field",
        page_of_empty_objects,
    ),
    hostile(
        "page-of-zeros",
        "the first page of conversations begins with 2,000,000 rows that are the number 0",
        page_of_zeros,
    ),
    hostile(
        "personal-errors",
        "API requests are refused, quoting number, address and name of a caller in many forms",
        personal_errors,
    ),
    hostile(
        "personal-jobs",
        "every job has failed, quoting the number, the address and the name of a caller",
        personal_jobs,
    ),
    hostile(
        "personal-retries",
        "the first API request of each path fails for a moment, quoting a caller in many forms",
        personal_retries,
    ),
    hostile(
        "personal-rows",
        "the first page of conversations or contacts begins with five rows of a caller that \
         cannot be decoded",
        personal_rows,
    ),
    hostile(
        "rows-with-bad-bytes",
        "the first page of conversations begins with a row that is not UTF-8, one with a raw \
         control character and one with a bare NaN",
        rows_with_bad_bytes,
    ),
    hostile("huge-numbers", "the total of every page is beyond every number type", huge_numbers),
    Behavior {
        name: "token-with-line-ends",
        kind: BehaviorKind::Odd,
        effect: "the token has white space around it, and a lifetime that is none",
        apply: token_with_line_ends,
    },
    hostile(
        "token-with-a-header",
        "the token holds a line end and another header",
        token_with_a_header,
    ),
];

/// API replies that are replaced before the true ones come.
const FIRST: u64 = 2;

/// Text that clears the terminal, hides what follows, and forges a line.
const TERMINAL: &str = "\u{1b}[2J\u{9b}31m\u{202e}drowssap\u{200b}\r\n2024-01-01 INFO all is well";

type Apply = fn(&Exchange<'_>, Answer<'_>) -> Response<Bytes>;

const fn hostile(name: &'static str, effect: &'static str, apply: Apply) -> Behavior {
    Behavior { name, kind: BehaviorKind::Hostile, effect, apply }
}

fn is_api(exchange: &Exchange<'_>) -> bool {
    exchange.request.uri().path().starts_with("/api/")
}

/// Whether a request asks for the state of a job.
fn is_job_status(exchange: &Exchange<'_>) -> bool {
    let path = exchange.request.uri().path();
    path.contains("/jobs/") && !path.ends_with("/results") && !path.ends_with("/availability")
}

fn is_token(exchange: &Exchange<'_>) -> bool {
    !is_api(exchange) && exchange.request.uri().path().contains("token")
}

/// Replaces every API reply.
fn replaced(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    reply: impl FnOnce() -> Response<Bytes>,
) -> Response<Bytes> {
    if is_api(exchange) { reply() } else { answer(exchange.request) }
}

/// Replaces the first API replies of each path.
fn first_replaced(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    reply: impl FnOnce() -> Response<Bytes>,
) -> Response<Bytes> {
    if exchange.nth <= FIRST { replaced(exchange, answer, reply) } else { answer(exchange.request) }
}

fn json_reply(body: impl Into<Bytes>) -> Response<Bytes> {
    let mut reply = Response::new(body.into());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// The reply with other fields in its JSON object.
fn with_fields(reply: Response<Bytes>, fields: &[(&str, Value)]) -> Response<Bytes> {
    reply.map(|body| {
        let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
        for (name, value) in fields {
            body[name] = value.clone();
        }
        body.to_string().into()
    })
}

fn control_characters_in_errors(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let body = json!({ "message": format!("no {TERMINAL}"), "code": TERMINAL });
    replaced(exchange, answer, || error::json(StatusCode::BAD_REQUEST, &body))
}

fn control_characters_in_jobs(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_job_status(exchange) {
        return reply;
    }
    with_fields(reply, &[("state", json!("FAILED")), ("errorMessage", json!(TERMINAL))])
}

fn nul_bytes(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || json_reply(&b"{\0\"conversations\"\0:\0[]}"[..]))
}

fn deep_nesting(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    replaced(exchange, answer, || {
        json_reply(["{\"conversations\":", &"[".repeat(500_000)].concat())
    })
}

fn huge_numbers(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_api(exchange) {
        return reply;
    }
    let huge = "9".repeat(100_000);
    reply.map(|body| {
        let text = String::from_utf8_lossy(&body).into_owned();
        match text.rsplit_once("\"totalHits\":") {
            Some((start, _)) => format!("{start}\"totalHits\":{huge}}}").into(),
            None => body,
        }
    })
}

fn token_with_line_ends(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    with_token(exchange, reply, |token| {
        vec![("access_token", json!(format!(" {token}\r\n"))), ("expires_in", json!("soon"))]
    })
}

fn token_with_a_header(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    with_token(exchange, reply, |token| {
        vec![("access_token", json!(format!("{token}\r\nX-Forwarded-For: 127.0.0.1")))]
    })
}

/// A token reply with other fields.
fn with_token(
    exchange: &Exchange<'_>,
    reply: Response<Bytes>,
    fields: impl FnOnce(&str) -> Vec<(&'static str, Value)>,
) -> Response<Bytes> {
    let body: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    match body["access_token"].as_str().filter(|_| is_token(exchange)) {
        Some(token) => with_fields(reply, &fields(token)),
        None => reply,
    }
}
