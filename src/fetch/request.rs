//! One request: the one place that loops over attempts. What a fault means is decided in `retry`.

use std::{
    cell::Cell,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use tokio::time::{Duration, Instant, sleep, timeout};
use url::Url;

use crate::{
    auth::{
        self,
        token::{GetToken, Token},
    },
    blocking::offload,
    catalog::ApiRequest,
    fetch::{ApiClient, FetchError, RunError, ShardError},
    http::{
        error::{ErrorResponse, RequestError},
        rate_limit::{Permit, QuotaKey},
        retry::{self, Attempt, Decision},
        transport::is_loopback_host,
    },
};

/// A token that is there is had within this time.
const AT_ONCE: Duration = Duration::from_millis(10);

/// How long what leaves something behind with the platform, or takes it back, may hold up a run that
/// is to end.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(5);

/// What may be done about a fault of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestOptions {
    /// Its shard can be bisected.
    pub splittable: bool,
    /// Its pages can be smaller.
    pub shrinkable: bool,
    /// Its reply is worth a moment even if the run is to end: it leaves something behind.
    pub binding: bool,
    /// It is sent even if the run is to end.
    pub last_word: bool,
}

/// Why one attempt brought no reply: what `retry` decides about, or what ends the run.
enum AttemptError {
    Request(RequestError),
    Run(RunError),
}

impl From<RequestError> for AttemptError {
    fn from(fault: RequestError) -> Self {
        Self::Request(fault)
    }
}

impl From<RunError> for AttemptError {
    fn from(run_error: RunError) -> Self {
        Self::Run(run_error)
    }
}

impl ApiClient {
    /// Asks until there is a reply that `read` can read, however many attempts it takes.
    pub(crate) async fn send_with_retry<T: Send + 'static>(
        &self,
        call: ApiRequest,
        options: RequestOptions,
        read: impl Fn(StatusCode, Bytes) -> Result<T, RequestError> + Clone + Send + 'static,
    ) -> Result<T, FetchError> {
        let RequestOptions { splittable, shrinkable, binding, last_word } = options;
        let mut attempt = Attempt {
            number: 1,
            throttles: 0,
            tokenless: 0,
            rejections: 0,
            splittable,
            shrinkable,
        };
        let mut rejected = None;
        loop {
            let sent = Cell::new(false);
            let tried = {
                let mut attempt = pin!(self.attempt(&call, &mut rejected, read.clone(), &sent));
                tokio::select! {
                    biased;
                    () = self.context.shutdown.cancelled(), if !last_word => match binding && sent.get() {
                        true => timeout(LAST_WORD, attempt).await.unwrap_or(Err(RunError::Interrupted.into())),
                        false => Err(RunError::Interrupted.into()),
                    },
                    tried = &mut attempt => tried,
                }
            };
            let fault = match tried {
                Ok(reply) => return Ok(reply),
                Err(AttemptError::Run(run_error)) => return Err(run_error.into()),
                Err(AttemptError::Request(fault)) => fault,
            };
            attempt.tokenless =
                if matches!(fault, RequestError::Login(_)) { attempt.tokenless + 1 } else { 0 };
            let fresh = rejected.is_some_and(|generation| {
                generation > self.context.accepted.load(Ordering::Relaxed)
            });
            attempt.rejections = if fresh { attempt.rejections + 1 } else { 0 };
            let throttled =
                matches!(&fault, RequestError::Refused(refusal) if refusal.is_throttle());
            attempt.throttles += u32::from(throttled);
            let jitter = self.jitter.borrow_mut().f64();
            let decision = retry::decide(&fault, attempt, &self.context.policy, jitter);
            // the address of a result is as good as a token, for a while
            let target = if call.anonymous { "a result" } else { &call.target };
            tracing::debug!(path = target, %fault, ?attempt, ?decision, "no reply");
            match decision {
                // nobody waits for the last word
                _ if last_word && self.context.shutdown.is_cancelled() => {
                    return Err(ShardError::Failed(fault).into());
                }
                Decision::Retry { after } => self.pause(after).await?,
                Decision::Throttled { after } => {
                    self.context.metrics.rate_limited.add(1);
                    self.context.rate_limit.close(&self.key(call.bucket.as_ref()), after);
                }
                Decision::Reauthenticate => {}
                Decision::Split => return Err(ShardError::TooBig(fault.to_string()).into()),
                Decision::Shrink => return Err(ShardError::TooLarge.into()),
                Decision::GiveUp => return Err(ShardError::Failed(fault).into()),
                Decision::Deny => return Err(ShardError::Denied(fault).into()),
                Decision::Stop(stop) => return Err(RunError::Stopped { stop, fault }.into()),
            }
            self.context.metrics.retries.add(1);
            attempt.number += u32::from(attempt.tokenless == 0 && !throttled);
        }
    }

    /// One attempt: a permit, a token, a request, a reply that is read.
    async fn attempt<T: Send + 'static>(
        &self,
        call: &ApiRequest,
        rejected: &mut Option<u64>,
        read: impl Fn(StatusCode, Bytes) -> Result<T, RequestError> + Send + 'static,
        sent: &Cell<bool>,
    ) -> Result<T, AttemptError> {
        // a limit of its own is kept beside that of all requests
        let _own = match &call.bucket {
            Some(bucket) => Some(self.context.rate_limit.admit(&self.key(Some(bucket))).await),
            None => None,
        };
        let (permit, token) = self.pay(call, rejected).await?;
        self.context.metrics.requests.add(1);
        sent.set(true);
        let reply = match self.request(call, token.as_ref()) {
            Ok(request) => self.context.transport.send(request).await,
            Err(fault) => Err(fault),
        };
        if let Ok(reply) = &reply {
            permit.answered(reply.status(), reply.headers());
        }
        let (status, body) = match reply.and_then(success) {
            Err(fault) => {
                *rejected = token.filter(|_| is_rejection(&fault)).map(|token| token.generation);
                return Err(fault.into());
            }
            Ok(reply) => reply,
        };
        if let Some(token) = token {
            self.context.accepted.fetch_max(token.generation, Ordering::Relaxed);
        }
        self.context.metrics.bytes_received.add(body.len() as u64);
        Ok(offload(move || read(status, body)).await?)
    }

    /// A permit and a token. The permit comes first, since waiting for it can outlast a token. While a
    /// token is waited for nobody else pays, and who waited pays again: requests that paid one after
    /// another would else leave together (G6).
    async fn pay(
        &self,
        call: &ApiRequest,
        rejected: &mut Option<u64>,
    ) -> Result<(Permit, Option<Token>), AttemptError> {
        let turn = self.context.rate_limit.turn(&self.key(None)).await;
        let mut permit = turn.admit().await;
        if call.anonymous {
            return Ok((permit, None));
        }
        let paid = Instant::now();
        let token = self
            .tokens
            .send(GetToken { rejected: rejected.take() })
            .await
            .map_err(RunError::from)?;
        let token = token.map_err(RequestError::Login)?;
        if paid.elapsed() > AT_ONCE {
            drop(permit);
            permit = turn.admit().await;
        }
        Ok((permit, Some(token)))
    }

    /// What a request pays that names `bucket`, or none.
    fn key(&self, bucket: Option<&Arc<str>>) -> QuotaKey {
        let context = &self.context;
        QuotaKey {
            credential: Arc::clone(&context.credential),
            bucket: Arc::clone(bucket.unwrap_or(&context.bucket)),
        }
    }

    /// The request of a call. A token goes to the API's host alone (G10), and nothing goes in the
    /// clear.
    fn request(
        &self,
        call: &ApiRequest,
        token: Option<&Token>,
    ) -> Result<Request<Bytes>, RequestError> {
        let api = &self.context.request.api;
        let url = api
            .join(&call.target)
            .map_err(|error| RequestError::Pagination(format!("`{}`: {error}", call.target)))?;
        let is_safe = url.scheme() == "https" || is_loopback_host(&url);
        if url.origin() != api.origin() && (token.is_some() || !is_safe) {
            return Err(RequestError::Pagination(format!(
                "{} is not to be asked",
                url.origin().ascii_serialization()
            )));
        }
        self.written(call, &url, token).map_err(RequestError::Malformed)
    }

    fn written(
        &self,
        call: &ApiRequest,
        url: &Url,
        token: Option<&Token>,
    ) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(url.as_str())
            .header(ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.header(
                AUTHORIZATION,
                auth::bearer(&token.secret).map_err(|error| error.to_string())?,
            );
        }
        let body = match &call.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(body).map_err(|error| error.to_string())
    }

    /// Waits, unless the run is to end.
    pub(crate) async fn pause(&self, after: Duration) -> Result<(), RunError> {
        tokio::select! {
            () = self.context.shutdown.cancelled() => Err(RunError::Interrupted),
            () = sleep(after) => Ok(()),
        }
    }
}

/// The status and body of a success.
fn success(reply: Response<Bytes>) -> Result<(StatusCode, Bytes), RequestError> {
    match reply.status() {
        status if status.is_success() => Ok((status, reply.into_body())),
        _ => Err(RequestError::Refused(ErrorResponse::read(&reply))),
    }
}

fn is_rejection(fault: &RequestError) -> bool {
    matches!(fault, RequestError::Refused(refusal) if refusal.status == StatusCode::UNAUTHORIZED)
}
