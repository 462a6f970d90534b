//! One request with its retries: the one place that loops over attempts. `http::retry` decides what
//! an error means.

use std::{
    cell::Cell,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use http::Response;
use tokio::time::{Duration, Instant, sleep, timeout};
use tracing::Instrument;

use crate::{
    auth::token::{GetToken, Token},
    catalog::ApiRequest,
    fetch::{
        ApiClient, FetchError, RunError, ShardError, async_job,
        error::AttemptError,
        request_log::{self, shown_path},
    },
    http::{
        error::{ErrorResponse, RequestError},
        rate_limit::{Permit, QuotaKey},
        retry::{self, Attempt, Decision},
        throttle::ThrottleScope,
    },
    system::blocking::offload,
    telemetry::{self, metrics::Wait},
};

/// A cached token arrives within this time.
const CACHED_TOKEN_TIME: Duration = Duration::from_millis(10);

/// How long a request that creates or deletes something at the platform may delay the end of a run.
pub(crate) const FINAL_REQUEST_TIME: Duration = Duration::from_secs(5);

/// From this failed or throttled attempt of a request on, its failures are told.
const TOLD_FROM: u32 = 3;

/// How a request may be handled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestOptions {
    /// Whether its shard can be bisected.
    pub splittable: bool,
    /// Whether its shard is bisected if a page cannot be taken apart.
    pub bisects_unreadable: bool,
    /// Whether its pages can be smaller.
    pub shrinkable: bool,
    /// Whether it creates something at the platform, so that its response is awaited for a moment
    /// even if the run is to end.
    pub creates_resource: bool,
    /// Whether it is sent even if the run is to end.
    pub sent_after_shutdown: bool,
}

impl ApiClient {
    /// Sends a request until `read` can parse a response, for as many attempts as `retry` allows.
    pub(crate) async fn send_with_retry<T: Send + 'static>(
        &self,
        call: ApiRequest,
        options: RequestOptions,
        read: impl Fn(Response<Bytes>) -> Result<T, RequestError> + Clone + Send + 'static,
    ) -> Result<T, FetchError> {
        let attempts = Cell::new(0);
        let logged = async {
            let result = self.send_attempts(&call, options, read, &attempts).await;
            request_log::ended(&call, attempts.get(), &result);
            result
        };
        logged.instrument(telemetry::request_span()).await
    }

    /// The loop over the attempts, which are counted in `attempts`.
    async fn send_attempts<T: Send + 'static>(
        &self,
        call: &ApiRequest,
        options: RequestOptions,
        read: impl Fn(Response<Bytes>) -> Result<T, RequestError> + Clone + Send + 'static,
        attempts: &Cell<u32>,
    ) -> Result<T, FetchError> {
        let mut attempt = Attempt {
            splittable: options.splittable,
            bisects_unreadable: options.bisects_unreadable,
            shrinkable: options.shrinkable,
            ..Attempt::FIRST
        };
        let mut rejected = None;
        loop {
            if !options.sent_after_shutdown {
                self.await_platform().await?;
            }
            attempts.update(|number| number + 1);
            let sent = self.attempt_or_shutdown(call, options, &mut rejected, read.clone());
            let error = match sent.instrument(telemetry::attempt_span(attempts.get())).await {
                Ok(response) => {
                    if !call.anonymous {
                        self.context.outages.record_answer();
                    }
                    return Ok(response);
                }
                Err(AttemptError::Run(error)) => return Err(error.into()),
                Err(AttemptError::Request(error)) => error,
            };
            if options.sent_after_shutdown && self.context.shutdown.is_cancelled() {
                return Err(ShardError::Failed(error).into());
            }
            attempt.platform = self.platform_after(&error, call.anonymous).await?;
            let token_was_new = rejected.is_some_and(|generation| {
                generation > self.context.accepted.load(Ordering::Relaxed)
            });
            attempt.count(&error, token_was_new);
            let jitter = self.jitter.borrow_mut().f64();
            let decision = retry::decide(&error, attempt, &self.context.policy, jitter);
            let path = shown_path(call);
            request_log::failed(attempts.get(), &error, attempt, &decision);
            if options.creates_resource && error.may_have_been_answered() {
                async_job::warn_of_lost_job(&path, &error);
            }
            match decision {
                Decision::Retry { after } => {
                    if attempt.number == TOLD_FROM && attempt.tokenless == 0 {
                        tracing::warn!(%path, %error, "the request failed {TOLD_FROM} times");
                    }
                    let no_connection = error.may_be_outage();
                    let wait = Wait::Retry { attempt: attempt.number, no_connection };
                    let _wait = self.context.metrics.wait(self.work.name(), wait);
                    self.pause(after).await?;
                }
                Decision::Throttled { after, scope } => {
                    let dataset =
                        self.work.name().filter(|_| matches!(scope, ThrottleScope::Endpoint));
                    self.context.metrics.throttle(dataset, after, &error.to_string());
                    self.throttle(call, after, scope, attempt.throttles);
                }
                Decision::AwaitPlatform => {
                    self.await_platform().await?;
                    attempt.outages += 1;
                    // an outage uses up nobody's attempts
                    (attempt.number, attempt.tokenless) = (0, 0);
                }
                Decision::Reauthenticate => {}
                Decision::Split => return Err(ShardError::ShardTooLarge(error.to_string()).into()),
                Decision::Shrink => return Err(ShardError::PageTooLarge.into()),
                Decision::GiveUp => return Err(ShardError::Failed(error).into()),
                Decision::GiveUpDataset => {
                    let endpoint = endpoint(call);
                    let reason = format!(
                        "{endpoint} throttles for longer than retry.give_up_after: {error}"
                    );
                    return Err(ShardError::DatasetUnavailable { error, reason }.into());
                }
                Decision::Deny => return Err(ShardError::Denied(error).into()),
                Decision::Stop(stop) => return Err(RunError::Stopped { stop, error }.into()),
            }
            self.context.metrics.retry(error.name());
            self.work.retry(format!("{path}: {error}"), error.correlation());
            attempt.number += u32::from(attempt.tokenless == 0 && !error.is_throttle());
        }
    }

    /// Pauses the requests that a throttle is about.
    fn throttle(&self, call: &ApiRequest, after: Duration, scope: ThrottleScope, count: u32) {
        let rate_limit = &self.context.rate_limit;
        let (is_longer, what) = match scope {
            ThrottleScope::Quota => {
                let key = self.quota_key(call.bucket.as_ref());
                (rate_limit.close(&key, after), "all requests of the quota pause")
            }
            ThrottleScope::Endpoint => {
                (rate_limit.endpoint_pauses.pause(&endpoint(call), after), "the endpoint pauses")
            }
        };
        if is_longer {
            let path = shown_path(call);
            if count >= TOLD_FROM {
                tracing::warn!(%path, ?after, throttles = count, "throttled: {what}");
            } else {
                tracing::info!(%path, ?after, "throttled: {what}");
            }
        }
    }

    /// One attempt, abandoned if the run is to end.
    async fn attempt_or_shutdown<T: Send + 'static>(
        &self,
        call: &ApiRequest,
        options: RequestOptions,
        rejected: &mut Option<u64>,
        read: impl Fn(Response<Bytes>) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, AttemptError> {
        let sent = Cell::new(false);
        let mut attempt = pin!(self.attempt(call, rejected, read, &sent));
        tokio::select! {
            biased;
            () = self.context.shutdown.cancelled(), if !options.sent_after_shutdown => {}
            ended = &mut attempt => return ended,
        }
        if options.creates_resource && sent.get() {
            return timeout(FINAL_REQUEST_TIME, attempt)
                .await
                .unwrap_or(Err(RunError::Interrupted.into()));
        }
        Err(RunError::Interrupted.into())
    }

    /// One attempt: a permit, a token, a request, a response that can be parsed.
    pub(super) async fn attempt<T: Send + 'static>(
        &self,
        call: &ApiRequest,
        rejected: &mut Option<u64>,
        read: impl Fn(Response<Bytes>) -> Result<T, RequestError> + Send + 'static,
        sent: &Cell<bool>,
    ) -> Result<T, AttemptError> {
        self.context.rate_limit.endpoint_pauses.wait(&endpoint(call)).await;
        // an endpoint's own bucket counts beside the bucket of all requests
        let _own_permit = match &call.bucket {
            Some(bucket) => {
                Some(self.context.rate_limit.admit(&self.quota_key(Some(bucket))).await)
            }
            None => None,
        };
        let (permit, token) = self.acquire_permit_and_token(call, rejected).await?;
        self.work.send();
        let in_flight = self.context.metrics.send_request(self.work.dataset());
        sent.set(true);
        let response = match self.build_request(call, token.as_ref()) {
            Ok(request) => self.context.transport.send(request).await,
            Err(error) => Err(error),
        };
        in_flight.answered(response.as_ref().ok().map(Response::status));
        if let Ok(response) = &response {
            permit.answered(response.status(), response.headers());
        }
        if let Ok(response) = &response {
            request_log::answered(call, response, self.context.dialect);
        }
        let response = match response.and_then(|response| self.require_success(call, response)) {
            Ok(response) => response,
            Err(error) => {
                let generation = token.map(|token| token.generation);
                if error.is_answer_to_caller() {
                    self.accept_token(generation);
                }
                *rejected = generation.filter(|_| error.is_unauthorized());
                return Err(error.into());
            }
        };
        self.accept_token(token.map(|token| token.generation));
        self.context.metrics.bytes_received.add(response.body().len() as u64);
        Ok(offload(move || read(response)).await?)
    }

    /// Records that the platform took the token of this generation, if the request had one.
    fn accept_token(&self, generation: Option<u64>) {
        if let Some(generation) = generation {
            self.context.accepted.fetch_max(generation, Ordering::Relaxed);
        }
    }

    /// Acquires a permit and then a token, since waiting for the permit can outlast a token. While
    /// the token is awaited nobody else acquires a permit, and after a token request another one is
    /// acquired: else requests that were admitted one after another would be sent together (G6).
    async fn acquire_permit_and_token(
        &self,
        call: &ApiRequest,
        rejected: &mut Option<u64>,
    ) -> Result<(Permit, Option<Token>), AttemptError> {
        let rate_limit = &self.context.rate_limit;
        let endpoint = endpoint(call);
        let mut turn = rate_limit.turn(&self.quota_key(None)).await;
        // it may have been throttled while this request waited for its turn
        while rate_limit.endpoint_pauses.is_paused(&endpoint) {
            drop(turn);
            rate_limit.endpoint_pauses.wait(&endpoint).await;
            turn = rate_limit.turn(&self.quota_key(None)).await;
        }
        let mut permit = turn.admit().await;
        if call.anonymous {
            return Ok((permit, None));
        }
        let admitted = Instant::now();
        let token = self
            .tokens
            .send(GetToken { rejected: rejected.take() })
            .await
            .map_err(RunError::from)?
            .map_err(RequestError::Token)?;
        // a token can also be late because the thread of the actors is busy, which costs no permit
        let was_requested = token.requested >= admitted;
        if was_requested {
            tracing::debug!(token = token.generation, "took a token that was just requested");
        }
        if was_requested && admitted.elapsed() > CACHED_TOKEN_TIME {
            drop(permit);
            permit = turn.admit().await;
        }
        Ok((permit, Some(token)))
    }

    /// The quota that a request counts against. `None` means the bucket of all requests.
    fn quota_key(&self, bucket: Option<&Arc<str>>) -> QuotaKey {
        let context = &self.context;
        QuotaKey {
            credential: Arc::clone(&context.credential),
            bucket: Arc::clone(bucket.unwrap_or(&context.bucket)),
        }
    }

    /// Returns the response to a call if it is a success.
    fn require_success(
        &self,
        call: &ApiRequest,
        response: Response<Bytes>,
    ) -> Result<Response<Bytes>, RequestError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let dialect = self.context.dialect;
        let error = ErrorResponse::read(&response, dialect).of_path(&call.target, dialect);
        Err(RequestError::Refused(error))
    }

    /// Sleeps.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] if the run is to end.
    pub(crate) async fn pause(&self, duration: Duration) -> Result<(), RunError> {
        self.unless_interrupted(sleep(duration)).await
    }

    /// The output of `future`.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] if the run is to end before.
    pub(super) async fn unless_interrupted<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, RunError> {
        tokio::select! {
            biased;
            () = self.context.shutdown.cancelled() => Err(RunError::Interrupted),
            output = future => Ok(output),
        }
    }
}

/// What a throttle of one endpoint holds: requests of the same method and path.
fn endpoint(call: &ApiRequest) -> String {
    let path = shown_path(call);
    format!("{} {}", call.method, path.split(['?', '#']).next().unwrap_or_default())
}
