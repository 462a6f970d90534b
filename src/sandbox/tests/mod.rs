//! The rules of the platform, one test per sentence, and a client that checks them.

mod access;
mod aggregates;
mod async_jobs;
mod details;
mod entities;
mod limits;
mod records;
mod users_audits_usage;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use http::{Method, header};
use serde_json::{Value, json};

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::{
    time::{DAY_MS, TimeRange},
    *,
};

/// The day of the tests: 2024-03-18, a Monday.
const DAY: i64 = 19_800;
const DETAILS: &str = "/api/v2/analytics/conversations/details/query";
const START: Duration = Duration::ZERO;

fn region(settings: Settings) -> Region {
    Region::new(Settings { requests: 0, ..settings })
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
    }
    request
}

fn login(region: &Region, now: Duration, client: &str) -> Response<Bytes> {
    let basic = format!("Basic {}", STANDARD.encode(format!("{client}:secret")));
    let form = "grant_type=client_credentials";
    region.reply(now, &request(Method::POST, "/oauth/token", &[("authorization", &basic)], form))
}

fn token(region: &Region, now: Duration, client: &str) -> String {
    value(&login(region, now, client))["access_token"].as_str().unwrap().to_owned()
}

fn value(reply: &Response<Bytes>) -> Value {
    serde_json::from_slice(reply.body()).unwrap()
}

fn get(region: &Region, now: Duration, token: &str, path: &str) -> Response<Bytes> {
    region.reply(
        now,
        &request(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], ""),
    )
}

fn post(region: &Region, now: Duration, token: &str, body: &str) -> Response<Bytes> {
    let headers =
        [("authorization", &*format!("Bearer {token}")), ("content-type", "application/json")];
    region.reply(now, &request(Method::POST, DETAILS, &headers, body))
}

/// Sends a details query for one page.
fn query(region: &Region, body: &Value) -> Response<Bytes> {
    let token = token(region, START, "client");
    post(region, START, &token, &body.to_string())
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange::new(from, to).unwrap()
}

fn days(from: i64, to: i64) -> TimeRange {
    range(from * DAY_MS, to * DAY_MS)
}

/// All conversations of a query, page by page.
fn all_pages(region: &Region, interval: TimeRange, size: usize, more: &Value) -> Vec<Value> {
    let token = token(region, START, "client");
    let mut query = json!({"interval": interval.to_string()});
    query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut all = Vec::new();
    for number in 1.. {
        query["paging"] = json!({"pageSize": size, "pageNumber": number});
        let page = value(&post(region, START, &token, &query.to_string()));
        let Some(rows) = page.get("conversations") else {
            assert_eq!(page["totalHits"], all.len());
            break;
        };
        all.extend(rows.as_array().unwrap().clone());
    }
    all
}

fn truth(region: &Region, interval: TimeRange) -> Vec<Value> {
    rows(region.truth(interval.from..interval.to))
}

/// The rows of a dataset, parsed.
fn truth_of(region: &Region, dataset: &str, interval: TimeRange) -> Vec<Value> {
    rows(region.truth_of("genesys-cloud", dataset, interval.from..interval.to).unwrap())
}

/// The parsed lines of a truth.
pub(super) fn rows(pieces: impl Iterator<Item = Bytes>) -> Vec<Value> {
    let lines: Vec<u8> = pieces.flatten().collect();
    lines
        .split(|&byte| byte == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

/// The sessions of a conversation.
fn sessions(conversation: &Value) -> Vec<Value> {
    let participants = conversation["participants"].as_array().unwrap();
    participants
        .iter()
        .flat_map(|participant| participant["sessions"].as_array().unwrap().clone())
        .collect()
}

fn ms(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Checks an error response, and returns its message.
fn error_message(reply: &Response<Bytes>, status: u16, code: &str) -> String {
    let body = value(reply);
    assert_eq!((reply.status().as_u16(), &body["code"]), (status, &json!(code)), "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["contextId"], reply.headers()["inin-correlation-id"].to_str().unwrap());
    assert_eq!((&body["details"], &body["errors"]), (&json!([]), &json!([])));
    body["message"].as_str().unwrap().to_owned()
}
