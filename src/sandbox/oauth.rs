//! Clients and their tokens.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{Settings, dice::Dice, error, limits::Meter};

/// Requests for a token that are admitted in one window, of all clients together. The platform's
/// number is not known.
pub(super) const TOKEN_REQUESTS: u32 = 60;
const FORM_LIMIT: usize = 16 * 1024;

/// A client that has been given a token.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Oldest first.
    tokens: VecDeque<Token>,
    pub(super) meter: Meter,
}

#[derive(Debug)]
struct Token {
    text: String,
    expires: Duration,
}

/// The clients by their ids.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: BTreeMap<String, Client>,
    minted: u64,
}

impl Clients {
    /// A new token for a client: past `max_tokens` live ones the oldest is no longer valid.
    pub(super) fn mint(&mut self, settings: &Settings, client: String, now: Duration) -> String {
        self.minted += 1;
        let mut dice = Dice::new([settings.seed, 0x70ce, self.minted, 0]);
        let bytes: Vec<u8> = (0..8).flat_map(|_| dice.roll().to_be_bytes()).collect();
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let tokens = &mut self.known.entry(client).or_default().tokens;
        tokens.push_back(Token { text: text.clone(), expires: now + settings.token_lifetime });
        tokens.retain(|token| now < token.expires);
        while tokens.len() > settings.max_tokens.max(1) as usize {
            tokens.pop_front();
        }
        text
    }

    /// The client, and its id, whose live token this is.
    pub(super) fn holder(&mut self, token: &str, now: Duration) -> Option<(&str, &mut Client)> {
        let valid = |client: &Client| client.tokens.iter().any(|held| held.text == token && now < held.expires);
        self.known.iter_mut().find(|(_, client)| valid(client)).map(|(id, client)| (id.as_str(), client))
    }
}

/// The token of an API request, if it has one.
pub(super) fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A refusal of the login endpoint: its status, error and description.
#[derive(Debug)]
pub(super) struct Refusal(StatusCode, &'static str, &'static str);

impl Refusal {
    pub(super) const THROTTLED: Self =
        Self(StatusCode::BAD_REQUEST, "invalid_request", "rate limit exceeded; retry the request later");

    pub(super) fn reply(&self) -> Response<Bytes> {
        let Self(status, name, description) = self;
        error::json(*status, &json!({"error": name, "description": description, "error_description": description}))
    }
}

/// The client that a token request proves to be.
///
/// # Errors
///
/// The platform's refusal: not a form by POST, another grant than client credentials, or
/// credentials that are missing or wrong.
pub(super) fn authenticate(settings: &Settings, request: &Request<Bytes>) -> Result<String, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "only POST is supported"));
    }
    if request.body().len() > FORM_LIMIT {
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "request too large"));
    }
    let field = |name: &str| {
        let mut fields = url::form_urlencoded::parse(request.body());
        fields.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    match field("grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(Refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", "unsupported grant type")),
        None => return Err(Refusal(StatusCode::BAD_REQUEST, "invalid_request", "missing grant_type")),
    }
    let (client, secret) = basic(request)
        .or_else(|| Some((field("client_id")?, field("client_secret")?)))
        .filter(|(client, secret)| !client.is_empty() && !secret.is_empty())
        .ok_or(Refusal(StatusCode::UNAUTHORIZED, "invalid_client", "client authentication is missing"))?;
    if settings.client_secret.as_ref().is_some_and(|right| right.expose_secret() != secret) {
        return Err(Refusal(StatusCode::BAD_REQUEST, "invalid_client", "authentication failed"));
    }
    Ok(client)
}

/// The client id and secret of a Basic authorization header.
fn basic(request: &Request<Bytes>) -> Option<(String, String)> {
    let (scheme, text) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let text = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(text.trim()).ok())??;
    let (client, secret) = std::str::from_utf8(&text).ok()?.split_once(':')?;
    Some((client.to_owned(), secret.to_owned()))
}
