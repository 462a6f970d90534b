//! What the sandbox plays of Genesys Cloud: who asks for what, under which permission.

mod agent;
mod data;
mod filter;
mod parties;
mod query;
mod render;
mod session;
mod truth;
mod whoami;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};

pub(super) use self::data::Records;
use self::query::Query;
use super::{
    Region, Settings, Truth, dice,
    error::{self, Fault},
    json,
};
use crate::interval::Interval;

const NAMESPACES: &str = "/api/v2/organizations/limits/namespaces/";

/// Answers a request of `client`, which has a token that is good and quota left.
pub(super) fn answer(region: &Region, client: &str, request: &Request<Bytes>) -> Result<Bytes, Fault> {
    type Handler = fn(&Region, &str, &Request<Bytes>) -> Result<Bytes, Fault>;
    let (method, handler): (Method, Handler) = match request.uri().path() {
        "/api/v2/analytics/conversations/details/query" => (Method::POST, conversation_details),
        "/api/v2/organizations/me" => (Method::GET, |region, _, _| Ok(whoami::organization(region.settings.seed))),
        "/api/v2/tokens/me" => (Method::GET, |region, client, _| Ok(whoami::token(region.settings.seed, client))),
        "/api/v2/users/me" => (Method::GET, |_, _, _| Err(whoami::not_a_user())),
        path if path.starts_with(NAMESPACES) => (Method::GET, |region, _, request| {
            whoami::namespace(&region.settings, &request.uri().path()[NAMESPACES.len()..])
        }),
        _ => return Err(Fault::not_found()),
    };
    let lacks = needs(request.uri().path()).filter(|needed| region.settings.deny.iter().any(|lack| lack == needed));
    if let Some(permission) = lacks {
        return Err(Fault::missing_permission(permission));
    }
    if request.method() == method { handler(region, client, request) } else { Err(Fault::method_not_allowed()) }
}

/// The rows of a dataset, see [`Region::truth_of`].
pub(super) fn truth(region: &Region, dataset: &str, interval: Interval) -> Option<Truth> {
    match dataset {
        "conversations" => Some(Box::new(region.truth(interval))),
        _ => None,
    }
}

fn conversation_details(region: &Region, _: &str, request: &Request<Bytes>) -> Result<Bytes, Fault> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| value.starts_with("application/json")) {
        let message = "The content type is not supported: send application/json";
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported.media.type", message));
    }
    Ok(Query::read(request.body(), region.settings.seed)?.page(&region.records, region.settings.seed))
}

/// The permission that a path needs.
fn needs(path: &str) -> Option<&'static str> {
    (path == "/api/v2/analytics/conversations/details/query").then_some("analytics:conversationDetail:view")
}
