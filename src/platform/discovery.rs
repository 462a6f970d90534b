//! Finds the hosts of a platform that publishes them in two documents below `/.well-known/`.
//!
//! The issuer's first document names the token endpoint, a token names the tenant, and the second
//! document names the API of that tenant.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, header::ACCEPT};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::{
    auth::{TokenResponse, with_path},
    http::{
        error::{ErrorResponse, RequestError, TokenError},
        transport::Transport,
    },
    platform::{cxone, issuer::Issuer},
    server_text::ServerText,
};

/// Why the hosts cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// A document cannot be fetched or read.
    #[error(
        "cannot read the hosts from {url}: {error}; check source.issuer, or set source.api_url and \
         source.login_url"
    )]
    Document {
        /// The URL of the document.
        url: String,
        /// What went wrong.
        error: RequestError,
    },
    /// There is no token, which would name the tenant.
    #[error("{0}; {advice}", advice = .0.advice)]
    Token(#[from] TokenError),
    /// The token does not name its tenant.
    #[error("the token does not name a tenant: set source.tenant")]
    Tenant,
}

/// Finds the token endpoint of `issuer`.
///
/// # Errors
/// [`DiscoverError::Document`].
pub(crate) async fn token_endpoint(
    transport: &dyn Transport,
    issuer: &Issuer,
) -> Result<Url, DiscoverError> {
    #[derive(Deserialize)]
    struct Document {
        token_endpoint: Url,
    }
    let url = with_path(&issuer.url, cxone::OPENID_CONFIGURATION_PATH);
    let document: Document = fetch_document(transport, &url).await?;
    issuer.check(document.token_endpoint).map_err(|reason| malformed(&url, &reason))
}

/// Finds the API of `tenant`.
///
/// # Errors
/// [`DiscoverError::Document`].
pub(crate) async fn api(
    transport: &dyn Transport,
    issuer: &Issuer,
    tenant: &str,
) -> Result<Url, DiscoverError> {
    #[derive(Deserialize)]
    struct Document {
        api_endpoint: Option<Url>,
        area: Option<String>,
    }
    let mut url = with_path(&issuer.url, cxone::TENANT_CONFIGURATION_PATH);
    url.query_pairs_mut().append_pair("tenantId", tenant);
    let document: Document = fetch_document(transport, &url).await?;
    match (document.api_endpoint, document.area) {
        (Some(api), _) => issuer.check(api).map_err(|reason| malformed(&url, &reason)),
        (None, Some(area)) => {
            let host =
                Some(&area).filter(|area| cxone::is_area(area)).map(|area| cxone::api_host(area));
            let refused = || {
                let area = ServerText::quote(&area);
                malformed(&url, &format!("its area `{area}` is not a part of a host name"))
            };
            // an area of the platform: the host is one that the platform's data name
            host.and_then(|host| host.parse().ok()).ok_or_else(refused)
        }
        (None, None) => Err(malformed(&url, "it has neither api_endpoint nor area")),
    }
}

/// The tenant of a token: a claim of the id token or, without one, of the token itself.
///
/// # Errors
/// [`DiscoverError::Tenant`].
pub(crate) fn tenant(response: &TokenResponse) -> Result<String, DiscoverError> {
    let tokens = response.id_token.iter().chain([&response.secret]);
    tokens
        .filter_map(claims)
        .find_map(|claims| Some(claims.get("tenantId")?.as_str()?.to_owned()))
        .ok_or(DiscoverError::Tenant)
}

/// The claims of a token. `None` if it has none. The signature is not checked here: the claims only
/// tell which host to ask, and that host checks the token.
fn claims(token: &SecretString) -> Option<BTreeMap<String, Value>> {
    let claims = token.expose_secret().split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

async fn fetch_document<T: DeserializeOwned>(
    transport: &dyn Transport,
    url: &Url,
) -> Result<T, DiscoverError> {
    let failed = |error| DiscoverError::Document { url: url.to_string(), error };
    let request = Request::get(url.as_str()).header(ACCEPT, "application/json").body(Bytes::new());
    let request = request.map_err(|error| malformed(url, &error.to_string()))?;
    let response = transport.send(request).await.map_err(failed)?;
    if !response.status().is_success() {
        let response = ErrorResponse::read(&response, &cxone::DIALECT);
        return Err(failed(RequestError::Refused(response)));
    }
    serde_json::from_slice(response.body()).map_err(|error| malformed(url, &error.to_string()))
}

fn malformed(url: &Url, reason: &str) -> DiscoverError {
    DiscoverError::Document { url: url.to_string(), error: RequestError::Malformed(reason.into()) }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use http::Response;

    use super::*;

    /// Answers every request with one text.
    struct FixedResponse(&'static str);

    impl Transport for FixedResponse {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
            Box::pin(async { Ok(Response::new(Bytes::from_static(self.0.as_bytes()))) })
        }
    }

    fn issuer() -> Issuer {
        Issuer { url: "https://cxone.niceincontact.com".parse().unwrap(), domains: Vec::new() }
    }

    #[tokio::test]
    async fn an_area_is_a_part_of_a_host_name() {
        for area in ["na1.evil.example/", "a@evil.example", "", "-a", "a b", "\\u001b[2J", "NA1"] {
            let text = format!(r#"{{"area":"{area}"}}"#);
            let transport = FixedResponse(Box::leak(text.into_boxed_str()));
            let error = api(&transport, &issuer(), "t").await.unwrap_err().to_string();
            assert!(error.contains("is not a part of a host name"), "{error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }

    #[tokio::test]
    async fn the_api_is_that_of_the_document_or_of_its_area() {
        let at =
            async |text| api(&FixedResponse(text), &issuer(), "t").await.map(|url| url.to_string());
        let (api, area) = (
            r#"{"api_endpoint":"https://api-de1.niceincontact.com","area":"na1"}"#,
            r#"{"area":"eu1"}"#,
        );
        assert_eq!(at(api).await.unwrap(), "https://api-de1.niceincontact.com/");
        assert_eq!(at(area).await.unwrap(), "https://api-eu1.niceincontact.com/");
        assert!(at("{}").await.unwrap_err().to_string().contains("neither api_endpoint nor area"));
        assert!(at("<html>").await.unwrap_err().to_string().contains("source.issuer"));
    }

    #[tokio::test]
    async fn g10_a_token_endpoint_without_tls_is_rejected() {
        let transport = FixedResponse(r#"{"token_endpoint":"http://example.com/token"}"#);
        let error = token_endpoint(&transport, &issuer()).await.unwrap_err().to_string();
        assert!(error.contains("in the clear"), "{error}");
    }

    #[test]
    fn the_tenant_is_a_claim_of_the_id_token_or_of_the_token() {
        let token =
            |claims: &str| SecretString::from(format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims)));
        let response =
            |secret, id_token| TokenResponse { secret, lifetime: None, refresh: None, id_token };
        let (one, two) = (token(r#"{"tenantId":"one"}"#), token(r#"{"tenantId":"two"}"#));
        assert_eq!(tenant(&response(two.clone(), Some(one))).unwrap(), "one");
        assert_eq!(tenant(&response(two, None)).unwrap(), "two");
        assert!(matches!(tenant(&response("opaque".into(), None)), Err(DiscoverError::Tenant)));
    }
}
