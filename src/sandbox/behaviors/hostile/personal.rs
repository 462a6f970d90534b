//! Replies that quote a caller where no data are expected: in errors, in the states of jobs, and in
//! rows that cannot be decoded.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::{is_job_status, rows::rows_in_front, with_fields};
use crate::sandbox::{
    behaviors::{Answer, Exchange},
    cxone, error,
};

/// The number, the address and the name of a caller in the forms in which servers quote them.
const FORMS: [&str; 10] = [
    "tel:+49304711000",
    "(+49304711000)",
    r"\u002B49304711000",
    r"\n49304711000",
    "from=%2B49304711000",
    "&#43;49304711000",
    "kunde4711@example.com",
    r"kunde4711\u0040example.com",
    "kunde4711%40example.com",
    r#"{\"participantName\":\"Zoë Müller\",\"ani\":\"tel:+49304711000\"}"#,
];

/// Headers in which platforms tell more about an error, as their clients log them.
const HEADERS: [&str; 2] = ["inin-correlation-id", "icstatusdescription"];

/// Whether a request is one for rows or for a job, on any platform.
fn is_api(exchange: &Exchange<'_>) -> bool {
    let path = exchange.request.uri().path();
    ["/api/", cxone::API, cxone::JOBS].iter().any(|start| path.starts_with(start))
}

fn refusal(status: StatusCode) -> Response<Bytes> {
    let message = format!("no participant {}", FORMS.join(" "));
    let code = "not.found tel:+49304711000";
    let body = json!({ "message": message, "errorDescription": message, "code": code });
    let mut reply = error::json(status, &body);
    for name in HEADERS {
        let value = HeaderValue::from_static("caller tel:+49304711000");
        reply.headers_mut().insert(name, value);
    }
    reply
}

pub(super) fn personal_errors(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_api(exchange) { refusal(StatusCode::BAD_REQUEST) } else { answer(exchange.request) }
}

pub(super) fn personal_retries(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    match is_api(exchange) && exchange.nth == 1 {
        true => refusal(StatusCode::SERVICE_UNAVAILABLE),
        false => answer(exchange.request),
    }
}

pub(super) fn personal_jobs(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_job_status(exchange) {
        return reply;
    }
    let message = FORMS.join(" ");
    with_fields(reply, &[("state", json!("FAILED")), ("errorMessage", json!(message))])
}

/// Rows of a caller that cannot be decoded: without an id, with an id that is an object, with a
/// time that is a name, with bytes that are no JSON, and the text of a caller in place of a row.
pub(super) fn personal_rows(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    const CALLER: &str = r#""fromAddress":"+49304711000","firstName":"Zoë Müller",
        "participants":[{"participantName":"Zoë Müller","sessions":[{"ani":"tel:+49304711000"}]}]"#;
    const NAME: &str = r#""Zoë Müller""#;
    let fields = [
        String::new(),
        format!(r#""conversationId":{{"of":{NAME}}},"contactId":{{"of":{NAME}}},"#),
        format!(
            r#""conversationId":"a","contactId":1,"conversationStart":{NAME},"contactStartDate":{NAME},"#
        ),
        r#""conversationId":NaN,"#.to_owned(),
    ];
    rows_in_front(exchange, answer, || {
        let rows: String = fields.iter().map(|fields| format!("{{{fields}{CALLER}}},")).collect();
        format!(r#"{rows}"Zoë Müller +49304711000","#).into_bytes()
    })
}
