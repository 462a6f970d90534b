//! One request, one response: the only access to the network.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri, header::ACCEPT_ENCODING};
use url::Url;

use crate::http::error::RequestError;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Sends one request and reads the whole response. A response of any status is `Ok`; an error means
/// that there was no response. Implementations neither retry nor wait.
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI is absolute.
    ///
    /// # Errors
    /// [`RequestError::Timeout`], [`RequestError::Network`] or [`RequestError::TooLarge`].
    fn send(&self, request: Request<Bytes>)
    -> BoxFuture<'_, Result<Response<Bytes>, RequestError>>;
}

/// HTTP by `reqwest`: one connection pool, no redirects (a token must not follow one to another
/// host, G10), bodies limited after decompression (G8).
pub struct HttpTransport {
    client: reqwest::Client,
    timeout: Duration,
    max_body: u64,
}

impl HttpTransport {
    /// `timeout` limits a request from its first byte to the last byte of the response, `max_body`
    /// the size of a response body in bytes.
    ///
    /// # Errors
    /// If the system's certificates cannot be read.
    pub fn new(timeout: Duration, max_body: u64) -> Result<Self, reqwest::Error> {
        // an error means that another part of the process has installed one, which serves as well
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("cxbackfill/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()?;
        Ok(Self { client, timeout, max_body })
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        if is_loopback_uri(request.uri()) {
            // on loopback, compression costs more time than it saves
            request
                .headers_mut()
                .insert(ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
        }
        let request =
            reqwest::Request::try_from(request).map_err(|error| self.request_error(&error))?;
        let mut received =
            self.client.execute(request).await.map_err(|error| self.request_error(&error))?;
        let announced = received.content_length().unwrap_or(0);
        if announced > self.max_body {
            return Err(RequestError::TooLarge(self.max_body));
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) =
            received.chunk().await.map_err(|error| self.request_error(&error))?
        {
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

    /// Converts reqwest's error. The URL is left out, since it may carry secrets.
    fn request_error(&self, error: &reqwest::Error) -> RequestError {
        if error.is_timeout() {
            return RequestError::Timeout(self.timeout);
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        RequestError::Network(cause.to_string())
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
