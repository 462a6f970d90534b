//! The proxy of the environment: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
//!
//! Only requests by https go through it, and by CONNECT, so that it cannot read them. This machine
//! is never reached through a proxy (G10).

use url::Url;

use crate::http::transport::TransportError;

/// The names of the variables, by precedence.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// This machine, as a list of hosts that need no proxy.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// A proxy that the environment names.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// The variable that names it.
    pub variable: &'static str,
    url: Url,
    /// Hosts that are connected to directly, separated by commas.
    exceptions: String,
}

impl Proxy {
    /// The proxy of the environment, whose variables `read` returns. `None` if it names none.
    ///
    /// # Errors
    /// [`TransportError::Proxy`] if the value is not the address of an HTTP proxy.
    pub(crate) fn of_environment(
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TransportError> {
        let set = |name: &str| read(name).filter(|value| !value.trim().is_empty());
        let named = VARIABLES.into_iter().find_map(|name| Some((name, set(name)?)));
        let Some((variable, value)) = named else { return Ok(None) };
        let url = address(value.trim()).ok_or(TransportError::Proxy { variable })?;
        let listed = set("NO_PROXY").or_else(|| set("no_proxy")).unwrap_or_default();
        Ok(Some(Self { variable, url, exceptions: format!("{listed},{LOOPBACK}") }))
    }

    /// The proxy as reqwest takes it.
    pub(crate) fn for_client(&self) -> Result<reqwest::Proxy, reqwest::Error> {
        let exceptions = reqwest::NoProxy::from_string(&self.exceptions);
        Ok(reqwest::Proxy::https(self.url.as_str())?.no_proxy(exceptions))
    }

    /// The proxy in messages: its address without credentials, and the variable.
    pub(crate) fn describe(&self) -> String {
        format!("the proxy {} of {}", self.url.origin().ascii_serialization(), self.variable)
    }
}

/// The address of an HTTP proxy; plain http unless the text says otherwise. `None` if it is none.
fn address(text: &str) -> Option<Url> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url = text.parse().ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)]) -> Result<Option<Proxy>, TransportError> {
        Proxy::of_environment(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_proxy_of_https_is_named_by_the_environment_and_that_of_http_is_not_used() {
        let described = |variables: &[(&str, &str)]| {
            proxy(variables).unwrap().map(|proxy| proxy.describe()).unwrap_or_default()
        };
        assert_eq!(described(&[]), "");
        assert_eq!(described(&[("HTTPS_PROXY", " ")]), "");
        assert_eq!(described(&[("HTTP_PROXY", "http://p:1"), ("http_proxy", "http://p:1")]), "");
        assert_eq!(described(&[("all_proxy", "p:3128")]), "the proxy http://p:3128 of all_proxy");
        assert_eq!(
            described(&[("ALL_PROXY", "http://q:1"), ("HTTPS_PROXY", "https://u:hush@p:2")]),
            "the proxy https://p:2 of HTTPS_PROXY"
        );
    }

    #[test]
    fn g10_a_proxy_that_is_not_understood_is_refused_without_its_password() {
        for value in ["socks5://u:hush@p:1", "http://", "http://u:hush@p:99999"] {
            let error = proxy(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("hush"), "{error}");
        }
    }
}
