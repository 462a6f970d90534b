//! What the sandbox plays of Genesys Cloud: who asks for what, under which permission.

mod agent;
mod aggregates;
mod async_job;
mod async_jobs;
mod attributes;
mod audits;
mod conversations;
mod entities;
mod filter;
mod job_kinds;
mod organization;
mod participants;
mod presence;
mod records;
mod renderer;
mod responses;
mod session;
mod truth;
mod usage;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};

pub use self::async_job::Jobs;
use self::conversations::ConversationQuery;
pub(super) use self::{async_jobs::Queue, records::Records};
use crate::{
    sandbox::{Region, Settings, Truth, error::ApiError},
    time::interval::Interval,
};

const NAMESPACES: &str = "/api/v2/organizations/limits/namespaces/";

/// Answers a request of `client`, which has a token that is good and quota left.
pub(super) fn answer(
    region: &Region,
    now: Duration,
    client: &str,
    request: &Request<Bytes>,
) -> Result<(StatusCode, Bytes), ApiError> {
    let path = request.uri().path();
    let lacks = needs(path).filter(|needed| region.settings.deny.iter().any(|lack| lack == needed));
    if let Some(permission) = lacks {
        return Err(ApiError::missing_permission(permission));
    }
    match job_kinds::kind(path) {
        Some(kind) => async_jobs::answer(kind, region, now, request),
        None => at_once(region, client, request).map(|body| (StatusCode::OK, body)),
    }
}

/// Answers what needs no waiting.
fn at_once(region: &Region, client: &str, request: &Request<Bytes>) -> Result<Bytes, ApiError> {
    type Handler = fn(&Region, &str, &Request<Bytes>) -> Result<Bytes, ApiError>;
    let (method, handler): (Method, Handler) = match request.uri().path() {
        "/api/v2/analytics/conversations/details/query" => (Method::POST, conversation_details),
        "/api/v2/analytics/users/details/query" => (Method::POST, user_details),
        "/api/v2/organizations/me" => {
            (Method::GET, |region, _, _| Ok(organization::organization(region.settings.seed)))
        }
        "/api/v2/tokens/me" => {
            (Method::GET, |region, client, _| Ok(organization::token(region.settings.seed, client)))
        }
        "/api/v2/users/me" => (Method::GET, |_, _, _| Err(organization::not_a_user())),
        path if path.starts_with(NAMESPACES) => (Method::GET, |region, _, request| {
            organization::namespace(&region.settings, &request.uri().path()[NAMESPACES.len()..])
        }),
        path if entities::at(path).is_some() => {
            (Method::GET, |region, _, request| entities::page(region.settings.seed, request))
        }
        path if aggregates::at(path).is_some() => (Method::POST, aggregates),
        _ => return Err(ApiError::not_found()),
    };
    if request.method() == method {
        handler(region, client, request)
    } else {
        Err(ApiError::method_not_allowed())
    }
}

/// The rows of a dataset, see [`Region::truth_of`].
pub(super) fn truth(region: &Region, dataset: &str, interval: Interval) -> Option<Truth> {
    match dataset {
        "conversations" => Some(Box::new(region.truth(interval))),
        "conversations+attributes" => {
            Some(Box::new(Arc::clone(&region.records).truth(interval, true)))
        }
        "user-details" => {
            Some(Box::new(truth::daily(region.settings.seed, interval, presence::lines)))
        }
        "audits" => Some(Box::new(truth::daily(region.settings.seed, interval, audits::lines))),
        "usage" => Some(Box::new(truth::daily(region.settings.seed, interval, usage::lines))),
        _ => match entities::truth(region.settings.seed, dataset) {
            Some(lines) => Some(Box::new(lines)),
            None => {
                Some(Box::new(aggregates::truth(Arc::clone(&region.records), dataset, interval)?))
            }
        },
    }
}

fn conversation_details(
    region: &Region,
    _: &str,
    request: &Request<Bytes>,
) -> Result<Bytes, ApiError> {
    let (query, rows) = ConversationQuery::read(json_body(request)?, region.settings.seed)?;
    Ok(query.page(&region.records, &rows))
}

fn user_details(region: &Region, _: &str, request: &Request<Bytes>) -> Result<Bytes, ApiError> {
    presence::page(json_body(request)?, region.settings.seed)
}

fn aggregates(region: &Region, _: &str, request: &Request<Bytes>) -> Result<Bytes, ApiError> {
    let (subject, _) = aggregates::at(request.uri().path()).ok_or_else(ApiError::not_found)?;
    Ok(aggregates::AggregateQuery::read(subject, json_body(request)?)?.reply(&region.records))
}

/// The body of a request that says that it is JSON.
fn json_body(request: &Request<Bytes>) -> Result<&[u8], ApiError> {
    let media_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| value.starts_with("application/json")) {
        let message = "The content type is not supported: send application/json";
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported.media.type",
            message,
        ));
    }
    Ok(request.body())
}

/// The permission that a path needs.
fn needs(path: &str) -> Option<&'static str> {
    match path {
        "/api/v2/analytics/conversations/details/query" => {
            Some("analytics:conversationDetail:view")
        }
        "/api/v2/analytics/users/details/query" => Some(presence::PERMISSION),
        path => (job_kinds::kind(path).map(|kind| kind.permission))
            .or_else(|| entities::permission(path))
            .or_else(|| Some(aggregates::at(path)?.1)),
    }
}
