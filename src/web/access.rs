//! Who may read what this program serves: the one place that decides it.
//!
//! On a loopback address every user of the machine may, without a token. On any other address a
//! token is needed. A request for a host that is not ours is refused, because a web page elsewhere
//! could have its own name point to this machine (DNS rebinding), and so is what a page of another
//! site asks for in a browser.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::{error::Error, web::connections::BoundedListener};

/// The shortest token that is accepted.
const SHORTEST_TOKEN: usize = 16;

/// The rules of one listener.
#[derive(Debug)]
pub(crate) struct Access {
    address: SocketAddr,
    token: Option<SecretString>,
}

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is too short, or has characters that are not safe in a URL.
    #[error("a token needs at least 16 characters, each a letter, a digit or one of `-._~`")]
    Unsafe,
    /// The operating system provides no randomness.
    #[error("no token can be generated: {0}")]
    Random(getrandom::Error),
}

/// A request that may be answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is answered.
    Request,
    /// It has the token in its URL: it is answered with this cookie and the URL without the token.
    WithToken {
        /// The value of the header `Set-Cookie`.
        cookie: String,
        /// Path and query without the token.
        location: String,
    },
}

/// A request that is refused: the status, and why.
pub(crate) type Refused = (StatusCode, String);

impl Access {
    /// Listens at `address`, where port 0 is any free one, and returns the rules of the listener.
    ///
    /// # Errors
    /// If the address cannot be used, for example because another program listens on it, or if the
    /// token is not safe.
    pub(super) async fn listen(
        address: SocketAddr,
        token: Option<SecretString>,
    ) -> Result<(BoundedListener, Self), Error> {
        let error = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let access = Self::new(listener.local_addr().map_err(error)?, token)
            .map_err(|error| Error::ListenToken(error.to_string()))?;
        Ok((BoundedListener::new(listener), access))
    }

    /// The rules of a listener at `address`. Without `token`, one is generated if the address needs
    /// one.
    ///
    /// # Errors
    /// [`TokenError`] if the token cannot be used.
    pub(crate) fn new(
        address: SocketAddr,
        token: Option<SecretString>,
    ) -> Result<Self, TokenError> {
        let token = match token {
            Some(token) if is_safe(token.expose_secret()) => Some(token),
            Some(_) => return Err(TokenError::Unsafe),
            None if address.ip().is_loopback() => None,
            None => Some(generate()?),
        };
        Ok(Self { address, token })
    }

    /// The URL to open, with the token if one is needed: to be shown to the person who started the
    /// program, and nowhere else.
    pub(crate) fn url(&self) -> String {
        let base = format!("http://{}/", self.address);
        match &self.token {
            Some(token) => format!("{base}?token={}", token.expose_secret()),
            None => base,
        }
    }

    /// Whether a request may be answered.
    ///
    /// # Errors
    /// The status and the reason if it may not.
    pub(crate) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Admitted, Refused> {
        if !self.is_ours(uri, headers) {
            let text = format!(
                "this host name is not known here: open http://{} or the machine's IP address",
                self.address
            );
            return Err((StatusCode::MISDIRECTED_REQUEST, text));
        }
        if method != Method::GET {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "only GET is answered".to_owned()));
        }
        if is_of_another_site(headers) {
            let text = "a page of another site may not read this".to_owned();
            return Err((StatusCode::FORBIDDEN, text));
        }
        let Some(token) = &self.token else { return Ok(Admitted::Request) };
        let is_right = |given: &str| equal(given, token.expose_secret());
        if bearer(headers).is_some_and(is_right) || self.cookie(headers).any(is_right) {
            return Ok(Admitted::Request);
        }
        if query_token(uri).is_some_and(is_right) {
            let name = self.cookie_name();
            let token = token.expose_secret();
            let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax");
            return Ok(Admitted::WithToken { cookie, location: without_token(uri) });
        }
        let text = "a token is needed: open the URL that the program printed at its start, or send \
                    `Authorization: Bearer TOKEN`";
        Err((StatusCode::UNAUTHORIZED, text.to_owned()))
    }

    /// Whether a request is for this listener: for the address that it listens on, or for another
    /// one of the machine if it listens on all. Names are refused but `localhost`.
    fn is_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = host.to_str().unwrap_or_default().parse::<Authority>() else {
            return false;
        };
        if host.as_str().contains('@') || uri.authority().is_some_and(|other| *other != host) {
            return false;
        }
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        let own = self.address.ip();
        match name.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() => own.is_loopback() || own.is_unspecified(),
            Ok(address) => own.is_unspecified() || address == own,
            Err(_) => {
                let listens = own.is_loopback() || own.is_unspecified();
                listens && name.eq_ignore_ascii_case("localhost")
            }
        }
    }

    /// Cookies belong to a host and not to a port, so the port is in the name.
    fn cookie_name(&self) -> String {
        format!("cxbackfill-{}", self.address.port())
    }

    fn cookie<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> + use<'h> {
        let name = self.cookie_name();
        let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = values.flat_map(|value| value.split(';'));
        cookies.filter_map(move |cookie| cookie.trim().strip_prefix(&name)?.strip_prefix('='))
    }
}

/// Whether a browser sends the request for a page of another site. Following a link is allowed.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_foreign = text("sec-fetch-site").is_some_and(|site| site.ends_with("-site"));
    is_foreign && text("sec-fetch-mode") != Some("navigate")
}

fn is_safe(token: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    token.len() >= SHORTEST_TOKEN && token.bytes().all(is_safe)
}

/// 256 random bits, as 43 characters.
fn generate() -> Result<SecretString, TokenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// Whether two texts are equal. How long that takes tells nothing about either, because their
/// digests are compared, and all of them.
fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (Sha256::digest(a), Sha256::digest(b));
    a.iter().zip(b.iter()).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn parameters(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty())
}

fn query_token(uri: &Uri) -> Option<&str> {
    parameters(uri).find_map(|parameter| parameter.strip_prefix("token="))
}

/// Path and query without the token. The path is made relative to this host, whatever it begins
/// with.
fn without_token(uri: &Uri) -> String {
    let rest: Vec<_> =
        parameters(uri).filter(|parameter| !parameter.starts_with("token=")).collect();
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(address: &str, token: Option<&str>) -> Access {
        Access::new(address.parse().unwrap(), token.map(Into::into)).unwrap()
    }

    fn get(access: &Access, uri: &str, headers: &[(&str, &str)]) -> Result<Admitted, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(header::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let admitted = access.check(&Method::GET, &uri.parse().unwrap(), &map);
        admitted.map_err(|(status, _)| status.as_u16())
    }

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn a_host_that_is_not_ours_is_refused() {
        let loopback = access("127.0.0.1:8787", None);
        for ours in ["127.0.0.1:8787", "localhost:8787", "LocalHost", "localhost:9999", "[::1]:1"] {
            assert_eq!(get(&loopback, "/", &[("host", ours)]), Ok(Admitted::Request), "{ours}");
        }
        for other in
            ["evil.example:8787", "127.0.0.1.evil.example", "10.0.0.1:8787", "", "a@localhost"]
        {
            assert_eq!(get(&loopback, "/", &[("host", other)]), Err(421), "{other}");
        }
        assert_eq!(get(&loopback, "/", &[]), Err(421));
        assert_eq!(get(&loopback, "/", &[("host", "localhost"), ("host", "localhost")]), Err(421));
        let foreign = "http://evil.example/";
        assert_eq!(get(&loopback, foreign, &[("host", "localhost")]), Err(421));
        let all = access("0.0.0.0:8787", Some(TOKEN));
        assert_eq!(get(&all, "/", &[("host", "evil.example")]), Err(421));
        assert_eq!(get(&all, "/", &[("host", "192.168.1.5:8787")]), Err(401));
        let one = access("192.168.1.5:8787", Some(TOKEN));
        for other in ["192.168.1.6:8787", "127.0.0.1:8787", "localhost:8787"] {
            assert_eq!(get(&one, "/", &[("host", other)]), Err(421), "{other}");
        }
    }

    #[test]
    fn any_address_but_loopback_needs_a_token() {
        let all = access("0.0.0.0:8787", None);
        let generated = all.token.as_ref().unwrap().expose_secret();
        assert!(generated.len() == 43 && all.url().ends_with(&format!("?token={generated}")));
        assert_eq!(access("127.0.0.1:1", None).url(), "http://127.0.0.1:1/");
        let one = access("192.168.1.5:8787", Some(TOKEN));
        let host = ("host", "192.168.1.5:8787");
        assert_eq!(get(&one, "/", &[host]), Err(401));
        assert_eq!(get(&one, "/?token=0123456789abcdeX", &[host]), Err(401));
        let bearer = format!("Bearer {TOKEN}");
        let sent = get(&one, "/overview.json", &[host, ("authorization", &bearer)]);
        assert_eq!(sent, Ok(Admitted::Request));
        let cookie = format!("a=b; cxbackfill-8787={TOKEN}");
        assert_eq!(get(&one, "/", &[host, ("cookie", &cookie)]), Ok(Admitted::Request));
        let of_another_port = format!("cxbackfill-8788={TOKEN}");
        assert_eq!(get(&one, "/", &[host, ("cookie", &of_another_port)]), Err(401));
    }

    #[test]
    fn a_token_in_the_url_becomes_a_cookie_and_leaves_the_url() {
        let one = access("192.168.1.5:8787", Some(TOKEN));
        let uri = format!("//evil.example/x?source=a&token={TOKEN}");
        let parts = http::uri::Parts::from(Uri::default());
        let mut parts = parts;
        parts.path_and_query = Some(uri.parse().unwrap());
        parts.scheme = None;
        parts.authority = None;
        let uri = Uri::from_parts(parts).unwrap();
        let headers = HeaderMap::from_iter([(header::HOST, "192.168.1.5:8787".parse().unwrap())]);
        let admitted = one.check(&Method::GET, &uri, &headers).unwrap();
        let cookie = format!("cxbackfill-8787={TOKEN}; Path=/; HttpOnly; SameSite=Lax");
        let location = "/evil.example/x?source=a".to_owned();
        assert_eq!(admitted, Admitted::WithToken { cookie, location });
    }

    #[test]
    fn only_get_is_answered() {
        let loopback = access("127.0.0.1:8787", None);
        let headers = HeaderMap::from_iter([(header::HOST, "localhost".parse().unwrap())]);
        for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            let refused = loopback.check(&method, &Uri::from_static("/"), &headers).unwrap_err();
            assert_eq!(refused.0, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    #[test]
    fn a_page_of_another_site_may_link_here_but_not_read() {
        let loopback = access("127.0.0.1:8787", None);
        let host = ("host", "127.0.0.1:8787");
        let from = |site, mode| {
            let headers = [host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            get(&loopback, "/events", &headers)
        };
        assert_eq!(from("cross-site", "cors"), Err(403));
        assert_eq!(from("same-site", "no-cors"), Err(403));
        assert_eq!(from("same-origin", "cors"), Ok(Admitted::Request));
        assert_eq!(from("cross-site", "navigate"), Ok(Admitted::Request));
    }

    #[test]
    fn a_token_that_is_short_or_not_safe_in_a_url_is_refused() {
        for token in ["", "short", "0123456789abcde", "0123456789abcde;", "0123456789abcd\r\n"] {
            let refused = Access::new("127.0.0.1:1".parse().unwrap(), Some(token.into()));
            assert!(matches!(refused, Err(TokenError::Unsafe)), "{token}");
        }
    }
}
