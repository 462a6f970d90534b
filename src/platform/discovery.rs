//! The hosts of a platform that tells them: CXone's two documents below `/.well-known/`.
//!
//! The first names the token endpoint; a token names the tenant; the second names the tenant's API.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, header::ACCEPT};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::{
    auth::TokenResponse,
    exit_code::ExitCode,
    http::{
        error::{ErrorResponse, RequestError, TokenError},
        transport::{Transport, is_loopback_host},
    },
};

/// Why the hosts are not found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// A document did not come, or is not what it should be.
    #[error(
        "{url} does not tell the hosts: {fault}; check source.issuer, or give source.api_url and source.login_url"
    )]
    Document {
        /// Where it was looked for.
        url: String,
        /// What came instead.
        fault: RequestError,
    },
    /// No token, and so no tenant.
    #[error("{0}; {advice}", advice = .0.advice)]
    TokenSource(#[from] TokenError),
    /// The token does not say whose it is.
    #[error("the token names no tenant: give source.tenant")]
    Tenant,
}

impl DiscoverError {
    /// The exit code: part of the outside of the program.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::TokenSource(fault) if fault.permanent => ExitCode::Credentials,
            Self::Tenant => ExitCode::Usage,
            _ => ExitCode::Fatal,
        }
    }
}

/// The token endpoint of `issuer`.
///
/// # Errors
/// [`DiscoverError::Document`].
pub(crate) async fn token_endpoint(
    transport: &dyn Transport,
    issuer: &Url,
) -> Result<Url, DiscoverError> {
    #[derive(Deserialize)]
    struct Document {
        token_endpoint: Url,
    }
    let url = crate::auth::below(issuer, "/.well-known/openid-configuration");
    let document: Document = document(transport, &url).await?;
    safe(document.token_endpoint, &url)
}

/// The API of `tenant`.
///
/// # Errors
/// [`DiscoverError::Document`].
pub(crate) async fn api(
    transport: &dyn Transport,
    issuer: &Url,
    tenant: &str,
) -> Result<Url, DiscoverError> {
    #[derive(Deserialize)]
    struct Document {
        api_endpoint: Option<Url>,
        area: Option<String>,
    }
    let mut url = crate::auth::below(issuer, "/.well-known/cxone-configuration");
    url.query_pairs_mut().append_pair("tenantId", tenant);
    let document: Document = document(transport, &url).await?;
    let by_area =
        || format!("https://api-{}.niceincontact.com", document.area.as_deref()?).parse().ok();
    let api = document.api_endpoint.clone().or_else(by_area);
    safe(api.ok_or_else(|| wrong(&url, "it has neither api_endpoint nor area"))?, &url)
}

/// The tenant of a token: a claim of the id token, else of the token itself.
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

/// The claims of a token that has any. Nothing is decided by them but where to look, so nobody
/// checks the signature: the host that is found does.
fn claims(token: &SecretString) -> Option<BTreeMap<String, Value>> {
    let claims = token.expose_secret().split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

async fn document<T: DeserializeOwned>(
    transport: &dyn Transport,
    url: &Url,
) -> Result<T, DiscoverError> {
    let at = |fault| DiscoverError::Document { url: url.to_string(), fault };
    let request = Request::get(url.as_str()).header(ACCEPT, "application/json").body(Bytes::new());
    let request = request.map_err(|error| wrong(url, &error.to_string()))?;
    let reply = transport.send(request).await.map_err(at)?;
    if !reply.status().is_success() {
        return Err(at(RequestError::Refused(ErrorResponse::read(&reply))));
    }
    serde_json::from_slice(reply.body()).map_err(|error| wrong(url, &error.to_string()))
}

/// G10: credentials will travel there.
fn safe(found: Url, document: &Url) -> Result<Url, DiscoverError> {
    match found.scheme() {
        "https" => Ok(found),
        "http" if is_loopback_host(&found) => Ok(found),
        _ => Err(wrong(
            document,
            &format!("it names {found}, which would send credentials in the clear"),
        )),
    }
}

fn wrong(url: &Url, reason: &str) -> DiscoverError {
    DiscoverError::Document {
        url: url.to_string(),
        fault: RequestError::Malformed(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use http::Response;

    use super::*;

    /// Answers everything with one text.
    struct Says(&'static str);

    impl Transport for Says {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
            Box::pin(async { Ok(Response::new(Bytes::from_static(self.0.as_bytes()))) })
        }
    }

    fn issuer() -> Url {
        "https://cxone.niceincontact.com".parse().unwrap()
    }

    #[tokio::test]
    async fn the_api_is_where_the_document_says_or_where_its_area_is() {
        let at = async |text| api(&Says(text), &issuer(), "t").await.map(|url| url.to_string());
        let (api, area) =
            (r#"{"api_endpoint":"https://api-de1.x.com","area":"na1"}"#, r#"{"area":"eu1"}"#);
        assert_eq!(at(api).await.unwrap(), "https://api-de1.x.com/");
        assert_eq!(at(area).await.unwrap(), "https://api-eu1.niceincontact.com/");
        assert!(at("{}").await.unwrap_err().to_string().contains("neither api_endpoint nor area"));
        assert!(at("<html>").await.unwrap_err().to_string().contains("source.issuer"));
    }

    #[tokio::test]
    async fn g10_a_document_cannot_send_credentials_in_the_clear() {
        let says = Says(r#"{"token_endpoint":"http://example.com/token"}"#);
        let error = token_endpoint(&says, &issuer()).await.unwrap_err().to_string();
        assert!(error.contains("in the clear"), "{error}");
    }

    #[test]
    fn the_tenant_is_a_claim_of_the_id_token_else_of_the_token() {
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
