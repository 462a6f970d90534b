//! One request, one reply: the only door to the network.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri, header::ACCEPT_ENCODING};
use url::Url;

use crate::http::error::RequestError;

/// Sends one request and reads the whole reply. Replies of every status are replies; a fault means
/// that there was none. Whoever implements it neither retries nor waits.
pub trait Transport: Send + Sync {
    /// Sends `request`, whose address is absolute.
    ///
    /// # Errors
    /// [`RequestError::Timeout`], [`RequestError::Network`] or [`RequestError::TooLarge`].
    fn send(&self, request: Request<Bytes>)
    -> BoxFuture<'_, Result<Response<Bytes>, RequestError>>;
}

/// HTTP by `reqwest`: one pool of connections, no redirects (a token must not follow one to another
/// host, G10), bodies capped after decompression (G8).
pub struct HttpTransport {
    client: reqwest::Client,
    timeout: Duration,
    max_body: u64,
}

impl HttpTransport {
    /// `timeout` bounds a request from its first byte to the last of the reply, `max_body` a
    /// reply's size in bytes.
    ///
    /// # Errors
    /// Where the system's certificates cannot be read.
    pub fn new(timeout: Duration, max_body: u64) -> Result<Self, reqwest::Error> {
        // another part of the process may have installed one already: that one serves as well
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("cxbackfill/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()?;
        Ok(Self { client, timeout, max_body })
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        if is_loopback(request.uri()) {
            // compressing costs more than memory does
            request
                .headers_mut()
                .insert(ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
        }
        let request = reqwest::Request::try_from(request).map_err(|error| self.fault(&error))?;
        let mut reply = self.client.execute(request).await.map_err(|error| self.fault(&error))?;
        let announced = reply.content_length().unwrap_or(0);
        if announced > self.max_body {
            return Err(RequestError::TooLarge(self.max_body));
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) = reply.chunk().await.map_err(|error| self.fault(&error))? {
            if (body.len() + chunk.len()) as u64 > self.max_body {
                return Err(RequestError::TooLarge(self.max_body));
            }
            body.extend_from_slice(&chunk);
        }
        let mut whole = Response::new(body.freeze());
        *whole.status_mut() = reply.status();
        *whole.headers_mut() = std::mem::take(reply.headers_mut());
        Ok(whole)
    }

    /// reqwest's error without its address, which may carry more than a log should hold.
    fn fault(&self, error: &reqwest::Error) -> RequestError {
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

/// Whether a host is this machine: the only one that plain http may be spoken to.
pub(crate) fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_loopback(uri: &Uri) -> bool {
    uri.to_string().parse().is_ok_and(|url| is_loopback_host(&url))
}
