//! Replies that quote what they were sent.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{is_api, is_token, rows::rows_in_front, with_fields};
use crate::sandbox::{
    behaviors::{Answer, Exchange},
    error,
};

pub(super) fn echoed_secrets(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let is_first_token = is_token(exchange) && exchange.nth == 1;
    if !is_first_token && !is_api(exchange) {
        return answer(exchange.request);
    }
    let forms = forms_of_secrets(exchange.request);
    let message = forms.join(" ");
    let body = json!({
        "message": message,
        "code": forms.first(),
        "error": "server_error",
        "error_description": message,
    });
    let mut reply = error::json(StatusCode::SERVICE_UNAVAILABLE, &body);
    *reply.status_mut() = match is_first_token {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if let Some(header) = forms.first().and_then(|form| HeaderValue::from_str(form).ok()) {
        reply.headers_mut().insert("inin-correlation-id", header);
    }
    reply
}

/// All that a request may not have quoted, in many forms.
fn forms_of_secrets(request: &Request<Bytes>) -> Vec<String> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credential = header.and_then(|header| header.split_once(' ')).map(|(_, text)| text);
    let basic = credential.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let secret = basic.as_ref().and_then(|basic| basic.split_once(':')).map(|(_, secret)| secret);
    let body = String::from_utf8_lossy(request.body());
    let texts = [secret, credential, header, Some(&*body).filter(|_| header.is_none())];
    let mut forms = Vec::new();
    for text in texts.into_iter().flatten() {
        forms.extend([
            text.to_owned(),
            STANDARD.encode(text),
            URL_SAFE.encode(format!("x{text}")),
            STANDARD.encode(format!("{{\"sent\":\"{text}\"}}")),
            form_urlencoded::byte_serialize(text.as_bytes()).collect(),
            text.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            text.bytes().map(|byte| format!("\\u{:04x}", u32::from(byte))).collect(),
            text.chars().map(|character| format!("&#{};", u32::from(character))).collect(),
            json!(text).to_string(),
        ]);
    }
    forms
}

pub(super) fn job_named_after_a_token(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
) -> Response<Bytes> {
    let reply = answer(exchange.request);
    let header = exchange.request.headers().get(AUTHORIZATION);
    let token = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token.filter(|_| exchange.request.uri().path().ends_with("/jobs")) {
        Some(token) if reply.status().is_success() => {
            with_fields(reply, &[("jobId", json!(token))])
        }
        _ => reply,
    }
}

pub(super) fn rows_that_quote_secrets(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
) -> Response<Bytes> {
    let forms = forms_of_secrets(exchange.request);
    let message = forms.join(" ");
    let with_new_fields = |request: &Request<Bytes>| {
        let reply = answer(request);
        let Ok(mut page) = serde_json::from_slice::<Value>(reply.body()) else { return reply };
        if let Some(row) = page.pointer_mut("/conversations/0") {
            row["debug"] = json!(message);
            for form in &forms {
                row[form] = json!(1);
            }
        }
        reply.map(|_| page.to_string().into())
    };
    rows_in_front(exchange, &with_new_fields, || {
        let without_id = json!({ "conversationStart": message, "debug": message }).to_string();
        // the same, and bytes that are no text
        let without_text = format!("{{\"debug\":\"{message}").into_bytes();
        [without_id.as_bytes(), b",", &without_text, b" \xff\"},"].concat()
    })
}
