//! Replies that are no HTTP, have no end, or are far larger than they seem.

use std::{io::Write, sync::LazyLock, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, Response, header::CONTENT_ENCODING};

use super::{first_replaced, is_token, json_reply};
use crate::sandbox::{
    behaviors::{Answer, Exchange},
    delivery::{Delivery, deliver},
};

/// The bytes of a gzip bomb, compressed and not.
const BOMB: usize = 1 << 30;

pub(super) fn gzip_bomb(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || {
        let mut reply = json_reply(Bytes::clone(&COMPRESSED_BOMB));
        reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        reply
    })
}

static COMPRESSED_BOMB: LazyLock<Bytes> = LazyLock::new(|| {
    let piece = vec![b' '; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..BOMB / piece.len() {
        // cannot fail: a vector takes everything
        let _ = encoder.write_all(&piece);
    }
    encoder.finish().unwrap_or_default().into()
});

pub(super) fn endless_body(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || deliver(json_reply(&b"[1,"[..]), Delivery::Endless))
}

pub(super) fn endless_token(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    match is_token(exchange) {
        true => deliver(json_reply(&b"{\"access_token\":\"a\","[..]), Delivery::Endless),
        false => answer(exchange.request),
    }
}

pub(super) fn slow_body(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || {
        let pause = Duration::from_secs(1);
        deliver(json_reply(&b"{\"conversations\":[]}"[..]), Delivery::Drip(pause))
    })
}

pub(super) fn early_close(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || raw(Bytes::new()))
}

pub(super) fn invalid_status_line(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || match exchange.nth {
        1 => raw(&b"HTTP/1.1 twohundred \x1b[2JOK\r\n\r\n"[..]),
        _ => raw(&b"SSH-2.0-OpenSSH_9.6\r\n"[..]),
    })
}

pub(super) fn header_flood(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || {
        let headers: String = (0..10_000).map(|number| format!("x-{number}: y\r\n")).collect();
        raw(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\n{{}}"))
    })
}

pub(super) fn endless_header(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || {
        raw(format!(
            "HTTP/1.1 200 OK\r\nx: {}\r\nContent-Length: 2\r\n\r\n{{}}",
            "y".repeat(8 << 20)
        ))
    })
}

pub(super) fn long_content_length(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || {
        raw("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{\"conversations\":[]}")
    })
}

pub(super) fn short_content_length(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    first_replaced(exchange, answer, || {
        raw("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"conversations\":[],\"totalHits\":0}")
    })
}

fn raw(bytes: impl Into<Bytes>) -> Response<Bytes> {
    deliver(Response::default(), Delivery::Raw(bytes.into()))
}
