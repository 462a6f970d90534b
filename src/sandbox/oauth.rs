//! The token endpoints of both platforms: checks a grant and returns tokens.

use std::{collections::BTreeMap, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use crate::sandbox::{
    Settings, error,
    tokens::{Clients, IssuedCode, TokenFamily},
};

/// Token requests that are admitted in one window, of all clients together. The platform does not
/// document its limit.
pub(super) const TOKEN_REQUESTS: u32 = 60;
const FORM_LIMIT: usize = 16 * 1024;
/// The lifetime of refresh tokens that replies state. It is not enforced.
const REFRESH_SECONDS: u64 = 24 * 60 * 60;

/// The tokens of a reply, and the field names it uses.
#[derive(Debug)]
pub(super) enum TokenGrant {
    /// OAuth's names, with a refresh token and an id token if the grant has them.
    OAuth { client: String, family: Option<TokenFamily>, id_token: bool },
    /// CXone's regional names: OAuth's, with the lifetime as a string.
    Regional { client: String, family: TokenFamily },
    /// CXone's names for a regional refresh.
    RegionalRefresh { client: String, family: TokenFamily },
}

/// An error response of the token endpoint: status, error and description.
#[derive(Debug)]
pub(super) struct OAuthError(StatusCode, &'static str, &'static str);

impl OAuthError {
    pub(super) const THROTTLED: Self = Self(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "rate limit exceeded; retry the request later",
    );
    const NO_CLIENT: Self =
        Self(StatusCode::UNAUTHORIZED, "invalid_client", "client authentication is missing");
    const WRONG_CLIENT: Self =
        Self(StatusCode::BAD_REQUEST, "invalid_client", "authentication failed");
    const WRONG_GRANT: Self = Self(
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "the code or refresh token is invalid, expired or revoked",
    );

    pub(super) fn reply(&self) -> Response<Bytes> {
        let Self(status, name, description) = self;
        error::json(
            *status,
            &json!({"error": name, "description": description, "error_description": description}),
        )
    }
}

/// The bearer token of an API request. `None` if it has none.
pub(super) fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let (scheme, token) =
        request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Checks a token request and returns its grant.
///
/// # Errors
///
/// The platform's error response: not a POST, an unknown grant, missing or wrong credentials, a
/// used code or refresh token.
pub(super) fn grant(
    settings: &Settings,
    clients: &mut Clients,
    now: Duration,
    request: &Request<Bytes>,
) -> Result<TokenGrant, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "only POST is supported",
        ));
    }
    if request.body().len() > FORM_LIMIT {
        return Err(OAuthError(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request",
            "request too large",
        ));
    }
    match request.uri().path() {
        "/authentication/v1/token/access-key" => access_key(settings, clients, request.body()),
        "/public/authentication/v1/refresh" => regional_refresh(clients, request.body()),
        _ => form_grant(settings, clients, now, request),
    }
}

fn form_grant(
    settings: &Settings,
    clients: &mut Clients,
    now: Duration,
    request: &Request<Bytes>,
) -> Result<TokenGrant, OAuthError> {
    let form: BTreeMap<_, _> = form_urlencoded::parse(request.body()).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let (client, public) = client(settings, request, &field)?;
    let family = |family| TokenGrant::OAuth {
        client: client.clone(),
        family: Some(family),
        id_token: false,
    };
    match field("grant_type") {
        Some("client_credentials") if public => Err(OAuthError::NO_CLIENT),
        Some("client_credentials") => {
            let family = settings.refresh_tokens.then(|| clients.family());
            Ok(TokenGrant::OAuth { client, family, id_token: false })
        }
        Some("password") if field("username").is_none() || field("password").is_none() => {
            Err(OAuthError::WRONG_GRANT)
        }
        Some("password") => {
            Ok(TokenGrant::OAuth { client, family: Some(clients.family()), id_token: true })
        }
        Some("refresh_token") => {
            let used = field("refresh_token")
                .and_then(|token| clients.use_refresh_token(token, Some(&client)));
            used.map(|(_, of)| family(of)).ok_or(OAuthError::WRONG_GRANT)
        }
        Some("authorization_code") => {
            let challenge = field("code_verifier").map(pkce_challenge).unwrap_or_default();
            let matches = |code: &IssuedCode| {
                code.client == client
                    && Some(code.redirect.as_str()) == field("redirect_uri")
                    && code.challenge == challenge
                    && !(public && code.challenge.is_empty())
            };
            let exchanged =
                field("code").and_then(|code| clients.exchange_code(code, now, matches));
            exchanged.map(|(_, of)| family(of)).ok_or(OAuthError::WRONG_GRANT)
        }
        Some(_) => Err(OAuthError(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "unsupported grant type",
        )),
        None => Err(OAuthError(StatusCode::BAD_REQUEST, "invalid_request", "missing grant_type")),
    }
}

/// The client of a token request, and whether it is a public one, which has no secret.
fn client<'a>(
    settings: &Settings,
    request: &Request<Bytes>,
    field: &impl Fn(&str) -> Option<&'a str>,
) -> Result<(String, bool), OAuthError> {
    let (client, secret) = basic(request)
        .or_else(|| {
            Some((
                field("client_id")?.to_owned(),
                field("client_secret").unwrap_or_default().to_owned(),
            ))
        })
        .filter(|(client, _)| !client.is_empty())
        .ok_or(OAuthError::NO_CLIENT)?;
    let allows_public = matches!(field("grant_type"), Some("authorization_code" | "refresh_token"));
    match (secret.is_empty(), &settings.client_secret) {
        (true, _) if allows_public => Ok((client, true)),
        (true, _) => Err(OAuthError::NO_CLIENT),
        (false, Some(right)) if right.expose_secret() != secret => Err(OAuthError::WRONG_CLIENT),
        (false, _) => Ok((client, false)),
    }
}

/// The client id and secret of a Basic authorization header.
fn basic(request: &Request<Bytes>) -> Option<(String, String)> {
    let (scheme, text) =
        request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let text =
        scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(text.trim()).ok())??;
    let (client, secret) = std::str::from_utf8(&text).ok()?.split_once(':')?;
    Some((client.to_owned(), secret.to_owned()))
}

/// The S256 code challenge of a PKCE verifier (RFC 7636).
fn pkce_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

fn access_key(
    settings: &Settings,
    clients: &mut Clients,
    body: &[u8],
) -> Result<TokenGrant, OAuthError> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| {
        body[name].as_str().filter(|text| !text.is_empty()).ok_or(OAuthError::NO_CLIENT)
    };
    let (client, secret) = (field("accessKeyId")?.to_owned(), field("accessKeySecret")?);
    if settings.client_secret.as_ref().is_some_and(|right| right.expose_secret() != secret) {
        return Err(OAuthError::WRONG_CLIENT);
    }
    Ok(TokenGrant::Regional { client, family: clients.family() })
}

fn regional_refresh(clients: &mut Clients, body: &[u8]) -> Result<TokenGrant, OAuthError> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let used = body["token"].as_str().and_then(|token| clients.use_refresh_token(token, None));
    used.map(|(client, family)| TokenGrant::RegionalRefresh { client, family })
        .ok_or(OAuthError::WRONG_GRANT)
}

impl TokenGrant {
    /// Issues the tokens and returns the reply.
    pub(super) fn reply(
        self,
        settings: &Settings,
        clients: &mut Clients,
        now: Duration,
    ) -> Response<Bytes> {
        let seconds = settings.token_lifetime.as_secs();
        let body = match self {
            Self::OAuth { client, family, id_token } => {
                let token = clients.issue(settings, &client, family, now);
                let mut body =
                    json!({"access_token": token, "token_type": "bearer", "expires_in": seconds});
                if let Some(family) = family {
                    body["refresh_token"] = clients.refresh_token(settings, &client, family).into();
                }
                if id_token {
                    body["id_token"] = identity().into();
                }
                body
            }
            Self::Regional { client, family } => json!({
                "access_token": clients.issue(settings, &client, Some(family), now),
                "token_type": "Bearer",
                "expires_in": seconds.to_string(),
                "refresh_token": clients.refresh_token(settings, &client, family),
                "refresh_token_expires_in": REFRESH_SECONDS,
                "id_token": identity(),
            }),
            Self::RegionalRefresh { client, family } => json!({
                "token": clients.issue(settings, &client, Some(family), now),
                "tokenExpirationTimeSec": seconds,
                "refreshToken": clients.refresh_token(settings, &client, family),
                "refreshTokenExpirationTimeSec": REFRESH_SECONDS,
            }),
        };
        error::json(StatusCode::OK, &body)
    }
}

/// The CXone tenant of the sandbox.
pub(super) const TENANT: &str = "11e00000-0000-0000-0000-5a4db0c00000";

/// An unsigned id token that names the tenant.
fn identity() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.none", part(json!({"alg": "none"})), part(json!({"tenantId": TENANT})))
}

/// The authorization page: the sandbox's user consents at once. A request without a PKCE challenge
/// gets a code that only a client with a secret can exchange.
pub(super) fn authorize(
    settings: &Settings,
    clients: &mut Clients,
    now: Duration,
    query: &str,
) -> Result<Response<Bytes>, OAuthError> {
    let invalid = |what| OAuthError(StatusCode::BAD_REQUEST, "invalid_request", what);
    let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let field = |name: &str, what| {
        query.get(name).filter(|value| !value.is_empty()).cloned().ok_or(invalid(what))
    };
    if field("response_type", "missing response_type")? != "code" {
        return Err(invalid("response_type must be code"));
    }
    let challenge = query.get("code_challenge").cloned().unwrap_or_default();
    if !challenge.is_empty() && query.get("code_challenge_method").is_none_or(|it| it != "S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    let redirect = field("redirect_uri", "missing redirect_uri")?;
    let mut to: Url = redirect.parse().map_err(|_| invalid("redirect_uri is not a valid URL"))?;
    let code = clients.code(
        settings,
        now,
        [field("client_id", "missing client_id")?, redirect, challenge],
    );
    to.query_pairs_mut()
        .append_pair("code", &code)
        .extend_pairs(query.get("state").map(|state| ("state", state)));
    let mut reply = error::json(StatusCode::FOUND, &json!({}));
    if let Ok(location) = HeaderValue::from_str(to.as_str()) {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    Ok(reply)
}
