//! The organisation, the token and the limits of the client that asks.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::sandbox::{
    Settings,
    error::ApiError,
    rng::{Pool, id},
};

const NAME: &str = "Sandbox";

/// Answers `GET /api/v2/organizations/me`.
pub(crate) fn organization(seed: u64) -> Bytes {
    body(&json!({
        "id": id(seed, Pool::Organization, 0).to_string(),
        "name": NAME,
        "defaultLanguage": "en-us",
        "defaultCountryCode": "DE",
        "thirdPartyOrgName": "sandbox",
        "domain": "sandbox.example",
        "version": 1,
        "state": "active",
        "productPlatform": "PureCloud",
        "selfUri": "/api/v2/organizations/me",
    }))
}

/// Answers `GET /api/v2/tokens/me`.
pub(crate) fn token(seed: u64, client: &str) -> Bytes {
    let organization = json!({"id": id(seed, Pool::Organization, 0).to_string(), "name": NAME});
    body(&json!({
        "organization": organization,
        "homeOrganization": organization,
        "authorizedScope": [],
        "OAuthClient": {"id": client, "name": "sandbox client", "organization": organization},
    }))
}

/// `GET /api/v2/users/me`: client credentials belong to no user.
pub(crate) fn not_a_user() -> ApiError {
    let message = "This request requires a user context. Client credentials cannot be used for requests to this resource.";
    ApiError::new(StatusCode::BAD_REQUEST, "not.a.user", message)
}

/// `GET /api/v2/organizations/limits/namespaces/{namespace}`, for the limits that the sandbox has.
pub(crate) fn namespace(settings: &Settings, namespace: &str) -> Result<Bytes, ApiError> {
    let limits = match namespace {
        "platform.api" => json!([{
            "key": "client.credentials.token.rate.per.minute",
            "namespace": namespace,
            "value": settings.requests,
        }]),
        "auth.api" | "analytics" => json!([]),
        _ => return Err(ApiError::not_found()),
    };
    Ok(body(&json!({ "entities": limits })))
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}
