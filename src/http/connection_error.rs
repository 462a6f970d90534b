//! What an error of the HTTP client means: it is either the network's, or the platform was too
//! slow, or no connection is possible until a person mends something.

use std::{error::Error, io, time::Duration};

use rustls::Error as TlsError;

use crate::http::{error::RequestError, proxy::Proxy};

/// How a request was sent, for messages about it.
pub(crate) struct Route<'a> {
    /// The host and, if it is not the usual one, the port of the request.
    pub host: &'a str,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// `None` if the environment names no proxy.
    pub proxy: Option<&'a Proxy>,
    /// Whether the host is this machine, which is never reached through a proxy.
    pub is_direct: bool,
}

/// Converts an error of the HTTP client. The URL is left out, since it may carry secrets.
pub(crate) fn classify(error: &reqwest::Error, route: &Route<'_>) -> RequestError {
    let Route { host, timeout, connect_timeout, .. } = *route;
    let causes = causes(error);
    if let Some(cause) = causes.iter().find_map(|cause| certificate_error(*cause)) {
        return RequestError::NoConnection(
            format!(
                "the certificate of {host} is not accepted: {cause}; if a certificate authority of \
             your own signs it, name the file of its certificate in SSL_CERT_FILE"
            )
            .into(),
        );
    }
    let last = causes.last().map(ToString::to_string).unwrap_or_default();
    if let Some(proxy) = route.proxy.filter(|_| error.is_connect())
        && let Some(answer) = last.strip_prefix("tunnel error: ")
    {
        return proxy_error(&proxy.describe(), host, answer);
    }
    if error.is_timeout() && error.is_connect() {
        return RequestError::Network(
            format!("{host}: not connected within {connect_timeout:?}").into(),
        );
    }
    // a time-out of the operating system: the other side acknowledges nothing any more
    let is_of_system = causes.iter().any(|cause| is_timeout_of_system(*cause));
    if error.is_timeout() && !is_of_system {
        return RequestError::Timeout(timeout);
    }
    let by_proxy = match route.proxy.filter(|_| error.is_connect() && !route.is_direct) {
        Some(proxy) => format!(", by {} unless NO_PROXY lists the host", proxy.describe()),
        None => String::new(),
    };
    RequestError::Network(format!("{host}: {last}{by_proxy}").into())
}

fn proxy_error(proxy: &str, host: &str, answer: &str) -> RequestError {
    match answer {
        "proxy authorization required" => RequestError::NoConnection(
            format!(
                "{proxy} requires credentials: write them into the variable, as \
             http://user:password@host:port"
            )
            .into(),
        ),
        "unsuccessful" => {
            RequestError::Network(format!("{proxy} refused the connection to {host}").into())
        }
        other => RequestError::Network(format!("{proxy}: {other}").into()),
    }
}

/// An error and all that caused it, down to the first cause.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = vec![error];
    while let Some(cause) = causes.last().and_then(|&last| cause_of(last)) {
        causes.push(cause);
    }
    causes
}

/// The cause of an error. An error of input and output that wraps another one does not count it as
/// its source.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
}

fn certificate_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let error = error.downcast_ref::<TlsError>()?;
    matches!(error, TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented)
        .then_some(error)
}

fn is_timeout_of_system(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_some()
    })
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_of_the_operating_system_is_told_from_one_of_the_client() {
        let of_system = io::Error::from(nix::errno::Errno::ETIMEDOUT);
        assert!(is_timeout_of_system(&of_system));
        assert!(!is_timeout_of_system(&io::Error::new(io::ErrorKind::TimedOut, "deadline")));
        assert!(!is_timeout_of_system(&io::Error::from(nix::errno::Errno::ECONNRESET)));
    }
}
