//! The API of NICE CXone: discovery, reports and lists, the data extraction.
//!
//! `contacts` and `entities` generate the data, `summaries` sums them, `rows` finds those of an
//! interval, `reports` answers with a page of them, `data_extraction` with a file of what
//! `extracts` describes.

mod contacts;
mod data_extraction;
mod entities;
mod extracts;
mod reports;
mod rows;
mod summaries;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};

use self::contacts::Tenant;
pub(super) use self::data_extraction::{ExtractionJobs, FILES, JOBS};
use crate::sandbox::{Region, Settings, Truth, error, oauth::TENANT, time::TimeRange};

/// The prefix of the paths of its API.
pub(super) const API: &str = "/incontactapi/";
/// The tenant's number in every reply.
const BUSINESS_UNIT: i64 = 4_593_210;

/// Answers `/.well-known/…`: the token endpoint, and for a tenant the address of its API.
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
        _ => error_response(StatusCode::NOT_FOUND, "not_found", "there is no such tenant"),
    }
}

/// Answers a request that has a valid token and quota left.
pub(super) fn answer(region: &Region, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
    let path = request.uri().path();
    if region.settings.deny.iter().any(|denied| denied.strip_prefix("cxone:") == Some(name(path))) {
        return rejection(StatusCode::FORBIDDEN);
    }
    let here = here(request);
    match service(path) {
        Some((version, report)) => reports::answer(tenant(region), version, report, &here, request),
        None if path.starts_with(JOBS) => {
            region.state().extractions.answer(region.settings.seed, now, &here, request)
        }
        None => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "the sandbox does not simulate this path",
        ),
    }
}

/// Answers with a file of the data extraction, which needs a valid address and no token.
pub(super) fn file(region: &Region, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
    let file = region.state().extractions.file(now, request.uri().path());
    match file {
        Some((extract, interval)) => extract.csv(tenant(region), interval),
        None => error_response(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired"),
    }
}

/// The reply to a request that was not admitted, in the platform's format. The platform answers 503
/// for 500 too, and sends no Retry-After.
pub(super) fn rejection(status: StatusCode) -> Response<Bytes> {
    match status {
        StatusCode::UNAUTHORIZED => {
            error_response(status, "invalid_token", "The access token is invalid or has expired")
        }
        StatusCode::FORBIDDEN => error_response(
            status,
            "forbidden",
            "The role or the team of the user does not allow it",
        ),
        StatusCode::TOO_MANY_REQUESTS => {
            error_response(status, "too_many_requests", "Too many requests: try again later")
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            error_response(status, "too_large", "The request is too large")
        }
        _ => error_response(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The service is unavailable: try again later",
        ),
    }
}

/// The rows of a dataset, see [`Region::truth_of`]. Entity lists ignore the interval; a summary
/// sums all of it.
pub(super) fn truth(region: &Region, dataset: &str, interval: TimeRange) -> Option<Truth> {
    if let Some(extract) = extracts::EXTRACTS.iter().find(|extract| extract.entity == dataset) {
        return Some(rows::lines(extract.rows(tenant(region), interval)));
    }
    let path = match dataset {
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
    rows::of(tenant(region), path, interval).map(rows::lines)
}

fn tenant(region: &Region) -> Tenant {
    let Settings { seed, conversations_per_day, drift, .. } = region.settings;
    Tenant { seed, contacts_per_day: conversations_per_day, drift }
}

/// The version and the rest of `/incontactapi/services/v{version}.0/{rest}`.
fn service(path: &str) -> Option<(u32, &str)> {
    let (version, rest) = path.strip_prefix(API)?.strip_prefix("services/v")?.split_once('/')?;
    Some((version.strip_suffix(".0")?.parse().ok()?, rest))
}

/// A path as [`Settings::deny`](super::Settings::deny) names it: `contacts/completed`, or
/// `data-extraction` for its jobs.
fn name(path: &str) -> &str {
    service(path).map_or("data-extraction", |(_, rest)| rest)
}

fn error_response(status: StatusCode, error: &str, description: &str) -> Response<Bytes> {
    let body: Value = json!({"error": error, "errorDescription": description});
    error::json(status, &body)
}

/// The scheme and host of the request.
fn here(request: &Request<Bytes>) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host =
        host.or(request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or("127.0.0.1");
    format!("{}://{host}", request.uri().scheme_str().unwrap_or("http"))
}

#[cfg(test)]
mod tests;
