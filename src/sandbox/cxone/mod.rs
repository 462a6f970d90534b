//! What the sandbox plays of NICE CXone: discovery, the reports and lists, the data extraction.
//!
//! `contact` and `things` make what there is, `summary` adds it up, `rows` finds what an interval
//! holds, `query` answers with a page of it, `extraction` with a file.

mod contact;
mod entities;
mod extraction;
mod query;
mod rows;
mod summary;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};

pub(super) use self::extraction::{FILES, JOBS, Jobs};
use self::rows::Seed;
use crate::{
    sandbox::{Region, Truth, error, oauth::TENANT},
    time::interval::Interval,
};

/// The paths of its API.
pub(super) const API: &str = "/incontactapi/";
/// The tenant's number in every reply.
const BUSINESS_UNIT: i64 = 4_593_210;

/// What `/.well-known/…` tells: where tokens are, and for a tenant where its API is.
pub(super) fn well_known(request: &Request<Bytes>) -> Response<Bytes> {
    let here = here(request);
    let query = request.uri().query().unwrap_or_default();
    let tenant = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "tenantId");
    match (request.uri().path(), tenant) {
        ("/.well-known/openid-configuration", _) => error::json(
            StatusCode::OK,
            &json!({
                "issuer": here,
                "authorization_endpoint": format!("{here}/auth/authorize"),
                "token_endpoint": format!("{here}/auth/token"),
            }),
        ),
        ("/.well-known/cxone-configuration", Some((_, tenant))) if tenant == TENANT => error::json(
            StatusCode::OK,
            &json!({"area": "na1", "api_endpoint": here, "domain": "niceincontact.com", "tenantId": TENANT}),
        ),
        _ => refusal(StatusCode::NOT_FOUND, "not_found", "there is no such tenant"),
    }
}

/// Answers a request that came at `now` with a token that is good, and with quota left.
pub(super) fn answer(region: &Region, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
    let path = request.uri().path();
    if region
        .settings
        .deny
        .iter()
        .any(|lack| lack.strip_prefix("cxone:").is_some_and(|lack| lack == name(path)))
    {
        return refuse(StatusCode::FORBIDDEN);
    }
    let here = here(request);
    match service(path) {
        Some((version, report)) => query::answer(world(region), version, report, &here, request),
        None if path.starts_with(JOBS) => {
            region.state().extractions.answer(region.settings.seed, now, &here, request)
        }
        None => refusal(StatusCode::NOT_FOUND, "not_found", "the sandbox does not play this path"),
    }
}

/// A file of the data extraction: its address is all that it takes, as long as that is good.
pub(super) fn file(region: &Region, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
    let asked = region.state().extractions.file(now, request.uri().path());
    match asked {
        Some(interval) => extraction::csv(world(region), interval),
        None => refusal(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired"),
    }
}

/// A refusal of whoever guards the door, in the words of this platform: 500 and 503 are one here,
/// and nobody is told how long to wait.
pub(super) fn refuse(status: StatusCode) -> Response<Bytes> {
    match status {
        StatusCode::UNAUTHORIZED => {
            refusal(status, "invalid_token", "The access token is invalid or has expired")
        }
        StatusCode::FORBIDDEN => {
            refusal(status, "forbidden", "The role or the team of the user does not allow it")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            refusal(status, "too_many_requests", "Too many requests: try again later")
        }
        StatusCode::PAYLOAD_TOO_LARGE => refusal(status, "too_large", "The request is too large"),
        _ => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The service is unavailable: try again later",
        ),
    }
}

/// The rows of a dataset, see [`Region::truth_of`]. Entity lists ignore the interval; a summary is
/// one of the whole of it.
pub(super) fn truth(region: &Region, dataset: &str, interval: Interval) -> Option<Truth> {
    let path = match dataset {
        "contacts-extract" => {
            return extraction::contacts(world(region), interval).map(rows::lines);
        }
        "contacts" => "contacts/completed",
        "contact-state-history" => "contacts/state-history",
        "contact-custom-data" => "contacts/custom-data",
        "agent-interaction-history" => "agents/interaction-history",
        "agent-state-history" => "agents/state-history",
        "skill-summary" => "skills/summary",
        "sla-summary" => "skills/sla-summary",
        "agent-performance" => "agents/performance",
        "team-performance" => "teams/performance-total",
        "agents" | "teams" | "skills" | "campaigns" | "dispositions" => dataset,
        _ => return None,
    };
    rows::of(world(region), path, interval).map(rows::lines)
}

fn world(region: &Region) -> Seed {
    Seed { seed: region.settings.seed, a_day: region.settings.conversations_per_day }
}

/// The version and the rest of `/incontactapi/services/v{version}.0/{rest}`.
fn service(path: &str) -> Option<(u32, &str)> {
    let (version, rest) = path.strip_prefix(API)?.strip_prefix("services/v")?.split_once('/')?;
    Some((version.strip_suffix(".0")?.parse().ok()?, rest))
}

/// A path as [`Settings::deny`](super::Settings::deny) names it: `contacts/completed`, and `data-extraction` for its jobs.
fn name(path: &str) -> &str {
    service(path).map_or("data-extraction", |(_, rest)| rest)
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response<Bytes> {
    let body: Value = json!({"error": error, "errorDescription": description});
    error::json(status, &body)
}

/// Where the request was sent to, as far as it tells.
fn here(request: &Request<Bytes>) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host =
        host.or(request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or("127.0.0.1");
    format!("{}://{host}", request.uri().scheme_str().unwrap_or("http"))
}

#[cfg(test)]
mod tests;
