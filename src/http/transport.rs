//! One request, one response: the only access to the network.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri, header::ACCEPT_ENCODING, uri::Authority};
use url::Url;

use crate::http::{
    connection_error::{self, Route},
    error::RequestError,
    proxy::Proxy,
};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Sends one request and reads the whole response. A response of any status is `Ok`; an error means
/// that there was no response. Implementations neither retry nor wait.
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI is absolute.
    ///
    /// # Errors
    /// [`RequestError::Timeout`], [`RequestError::Network`], [`RequestError::NoConnection`] or
    /// [`RequestError::TooLarge`].
    fn send(&self, request: Request<Bytes>)
    -> BoxFuture<'_, Result<Response<Bytes>, RequestError>>;
}

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A variable of the environment does not name a proxy. Its value may hold a password.
    #[error(
        "the variable {variable} is not the address of a proxy: expected http://host:port or \
         https://host:port"
    )]
    Proxy {
        /// The name of the variable.
        variable: &'static str,
    },
    /// The file of certificates that the environment names cannot be read.
    #[error(
        "SSL_CERT_FILE names {path}, which cannot be read: {source}; name a file of certificates \
         in PEM format, or unset the variable to use those of the system"
    )]
    CertificateFile {
        /// The path.
        path: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The system's certificates cannot be read.
    #[error(
        "the HTTP client cannot be set up: {0}; install the certificates of the system, or name a \
         file of certificates in SSL_CERT_FILE"
    )]
    Client(#[from] reqwest::Error),
}

/// HTTP by `reqwest`: one connection pool, no redirects (a token must not follow one to another
/// host, G10), bodies limited after decompression (G8).
pub struct HttpTransport {
    client: reqwest::Client,
    timeout: Duration,
    connect_timeout: Duration,
    max_body: u64,
    /// The proxy for requests to other machines. `None` if the environment names none.
    proxy: Option<Proxy>,
}

impl HttpTransport {
    /// `timeout` limits a request from its first byte to the last byte of the response,
    /// `connect_timeout` the time to connect and that in which the other side acknowledges nothing,
    /// but not to more than half of `timeout`; `max_body` limits the size of a response body in
    /// bytes.
    ///
    /// # Errors
    /// If the system's certificates cannot be read, or the environment names a proxy that is none.
    pub fn new(
        timeout: Duration,
        connect_timeout: Duration,
        max_body: u64,
    ) -> Result<Self, TransportError> {
        // an error means that another part of the process has installed one, which serves as well
        let _ = rustls::crypto::ring::default_provider().install_default();
        // else a time-out of the whole request would hide that there was no connection
        let connect_timeout = connect_timeout.min(timeout / 2);
        require_certificate_file()?;
        let proxy = Proxy::of_environment(|name| std::env::var(name).ok())?;
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("cxbackfill/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(connect_timeout)
            .no_proxy();
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
        {
            client = client.tcp_user_timeout(connect_timeout);
        }
        if let Some(proxy) = &proxy {
            client = client.proxy(proxy.for_client()?);
        }
        Ok(Self { client: client.build()?, timeout, connect_timeout, max_body, proxy })
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        let is_direct = is_loopback_uri(request.uri());
        if is_direct {
            // on loopback, compression costs more time than it saves
            request
                .headers_mut()
                .insert(ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
        }
        let host = request.uri().authority().map(Authority::to_string).unwrap_or_default();
        let route = Route {
            host: &host,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            proxy: self.proxy.as_ref(),
            is_direct,
        };
        let request_error = |error: reqwest::Error| connection_error::classify(&error, &route);
        let request = reqwest::Request::try_from(request).map_err(request_error)?;
        let mut received = self.client.execute(request).await.map_err(request_error)?;
        let announced = received.content_length().unwrap_or(0);
        if announced > self.max_body {
            return Err(RequestError::TooLarge(self.max_body));
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) = received.chunk().await.map_err(request_error)? {
            if (body.len() + chunk.len()) as u64 > self.max_body {
                return Err(RequestError::TooLarge(self.max_body));
            }
            body.extend_from_slice(&chunk);
        }
        // some servers begin every text with one, and no parser expects it
        if body.starts_with(BYTE_ORDER_MARK) {
            body.advance(BYTE_ORDER_MARK.len());
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = received.status();
        *response.headers_mut() = std::mem::take(received.headers_mut());
        Ok(response)
    }
}

impl Transport for HttpTransport {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(self.exchange(request))
    }
}

/// Opens the file of `SSL_CERT_FILE`, if that is set: without it, no certificate would be accepted.
fn require_certificate_file() -> Result<(), TransportError> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    std::fs::File::open(&path).map(drop).map_err(|source| TransportError::CertificateFile {
        path: path.display().to_string(),
        source,
    })
}

/// Whether the host of `url` is this machine, the only host that plain HTTP is allowed for.
pub(crate) fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_loopback_uri(uri: &Uri) -> bool {
    uri.to_string().parse().is_ok_and(|url| is_loopback_host(&url))
}
