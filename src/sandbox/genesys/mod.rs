//! The API of Genesys Cloud: maps paths to handlers and permissions.
//!
//! A folder or file for each part of the API: `conversations`, `async_jobs`, `users`, `audits`,
//! `usage`, `aggregates`, `entities`, `organization`. `request` and `filter` read what bodies have
//! in common, `renderer` writes records. Every reply is a function of the seed and the request;
//! only jobs have state.

mod aggregates;
mod async_jobs;
mod audits;
mod conversations;
mod entities;
mod filter;
mod organization;
mod renderer;
mod request;
mod truth;
mod usage;
mod users;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};

pub use self::async_jobs::job::JobSettings;
pub(super) use self::{
    async_jobs::Queue,
    conversations::records::{Records, Variation},
    truth::truth,
};
use self::{conversations::ConversationQuery, request::json_body};
use crate::sandbox::{Region, error::ApiError};

const NAMESPACES: &str = "/api/v2/organizations/limits/namespaces/";

/// Answers a request of `client`, whose token is valid and which has quota left.
pub(crate) fn answer(
    region: &Region,
    now: Duration,
    client: &str,
    request: &Request<Bytes>,
) -> Result<(StatusCode, Bytes), ApiError> {
    let path = request.uri().path();
    let missing = permission(path)
        .filter(|needed| region.settings.deny.iter().any(|denied| denied == needed));
    if let Some(permission) = missing {
        return Err(ApiError::missing_permission(permission));
    }
    match async_jobs::kinds::kind(path) {
        Some(kind) => async_jobs::answer(kind, region, now, request),
        None => answer_synchronously(region, client, request).map(|body| (StatusCode::OK, body)),
    }
}

/// Answers a request that is not for a job.
fn answer_synchronously(
    region: &Region,
    client: &str,
    request: &Request<Bytes>,
) -> Result<Bytes, ApiError> {
    type Handler = fn(&Region, &str, &Request<Bytes>) -> Result<Bytes, ApiError>;
    let (method, handler): (Method, Handler) = match request.uri().path() {
        "/api/v2/analytics/conversations/details/query" => (Method::POST, conversation_details),
        "/api/v2/analytics/conversations/details" => (Method::GET, |region, _, request| {
            conversations::by_id(&region.records, request.uri().query())
        }),
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

fn conversation_details(
    region: &Region,
    _: &str,
    request: &Request<Bytes>,
) -> Result<Bytes, ApiError> {
    let (query, rows) = ConversationQuery::read(json_body(request)?, region.settings.seed)?;
    Ok(query.page(&region.records, &rows))
}

fn user_details(region: &Region, _: &str, request: &Request<Bytes>) -> Result<Bytes, ApiError> {
    users::page(json_body(request)?, region.settings.seed)
}

fn aggregates(region: &Region, _: &str, request: &Request<Bytes>) -> Result<Bytes, ApiError> {
    let (subject, _) = aggregates::at(request.uri().path()).ok_or_else(ApiError::not_found)?;
    Ok(aggregates::AggregateQuery::read(subject, json_body(request)?)?.reply(&region.records))
}

/// The permission that a path needs.
fn permission(path: &str) -> Option<&'static str> {
    match path {
        "/api/v2/analytics/conversations/details/query"
        | "/api/v2/analytics/conversations/details" => Some("analytics:conversationDetail:view"),
        "/api/v2/analytics/users/details/query" => Some(users::PERMISSION),
        path => (async_jobs::kinds::kind(path).map(|kind| kind.permission))
            .or_else(|| entities::permission(path))
            .or_else(|| Some(aggregates::at(path)?.1)),
    }
}
