//! Asynchronous jobs: submit, poll, delete.
//!
//! Whatever becomes of a shard, its job is deleted. The ledger knows every job that exists, so the
//! next run deletes those of a run that was killed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    catalog::{ApiRequest, AsyncJob, Endpoint, JsonPointer, PlaceholderValues, is_path_segment},
    fetch::{
        ApiClient, FetchError, Fetcher, RunError, ShardError,
        job_state::{JobState, MAX_UNKNOWN_TIME, job_state, text_at},
        job_waits::next_pause,
        send_with_retry::{FINAL_REQUEST_TIME, RequestOptions},
        shard_progress::ShardProgress,
    },
    http::error::RequestError,
    ledger::RemoteJob,
    server_text::{self, ServerText},
    sink::LedgerEvent,
    telemetry::metrics::Wait,
    time::interval::Interval,
};

/// How long a job may take. Platforms give up long before.
const MAX_JOB_TIME: Duration = Duration::from_secs(6 * 60 * 60);

/// How a job ended.
enum JobEnd {
    /// It has results.
    Done,
    /// It failed or no longer exists: it may be submitted again.
    Lost(RequestError),
}

impl Fetcher {
    /// Submits the shard's job, if its endpoint has one, and polls it until its results can be
    /// paged.
    pub(crate) async fn run_job(&self, progress: &mut ShardProgress) -> Result<(), FetchError> {
        let endpoint = Arc::clone(&progress.pager.endpoint);
        let Some(job) = &endpoint.async_job else { return Ok(()) };
        let mut lost = 0;
        loop {
            self.submit(progress, job).await?;
            let error = match self.await_job(progress, job).await? {
                JobEnd::Done => return Ok(()),
                JobEnd::Lost(error) => error,
            };
            self.delete_job(progress).await?;
            lost += 1;
            if lost >= self.client.context.policy.attempts {
                return Err(ShardError::Failed(error).into());
            }
            tracing::warn!(%error, "the job failed; submitting it again");
            self.client.context.metrics.retry("job");
            self.client.work.retry(error.to_string(), error.correlation());
        }
    }

    /// Submits a job once there may be another one, and records it in the ledger.
    async fn submit(&self, progress: &mut ShardProgress, job: &AsyncJob) -> Result<(), FetchError> {
        let context = &self.client.context;
        let permits = Arc::clone(&context.job_permits);
        progress.job_permit = Some(tokio::select! {
            biased;
            () = context.shutdown.cancelled() => return Err(RunError::Interrupted.into()),
            permit = permits.acquire_owned() => permit.map_err(|_| RunError::Interrupted)?,
        });
        let values = progress.pager.placeholder_values(1);
        let request = job.submit.fill_filtered(&values, progress.pager.filter());
        let options = RequestOptions {
            splittable: self.is_splittable(progress.shard()),
            creates_resource: true,
            ..RequestOptions::default()
        };
        let id = self.client.request_text(request, options, job.id.clone()).await?;
        // the ledger records the id as it is
        if server_text::holds_secret(&id) {
            let reason = "the id of the job holds a secret that the server was sent".into();
            return Err(ShardError::Failed(RequestError::AsyncJob(reason)).into());
        }
        if !is_path_segment(&id) {
            let reason = format!("its id `{}` cannot be part of a path", ServerText::quote(&id));
            return Err(ShardError::Failed(RequestError::AsyncJob(reason.into())).into());
        }
        progress.pager.job_id = id;
        if let Some(remote_job) = remote_job(progress, job) {
            self.sink.send(LedgerEvent::Submitted(remote_job)).await??;
        }
        Ok(())
    }

    /// Polls a job until it ends: first when it is expected to be done, then less and less often.
    async fn await_job(
        &self,
        progress: &mut ShardProgress,
        job: &AsyncJob,
    ) -> Result<JobEnd, FetchError> {
        let dataset = progress.shard().dataset.name.clone();
        let job_waits = &self.client.context.job_waits;
        let interval = progress.pager.requested;
        let first_wait = job_waits.first(&dataset, interval);
        let (mut pause, mut waited, mut polls) = (first_wait, Duration::ZERO, 0);
        let mut known_until = Duration::ZERO;
        while waited < MAX_JOB_TIME {
            {
                let dataset = Some(dataset.as_str().into());
                let _wait = self.client.context.metrics.wait(dataset, Wait::Job);
                self.client.pause(pause).await?;
            }
            waited += pause;
            polls += 1;
            pause = next_pause(first_wait, polls, pause);
            let request = job.poll.fill(&progress.pager.placeholder_values(1));
            let status = match self.client.request_json(request, RequestOptions::default()).await {
                Ok(status) => status,
                Err(FetchError::Shard(ShardError::Failed(error))) if error.is_not_found() => {
                    return Ok(JobEnd::Lost(error));
                }
                Err(error) => return Err(error),
            };
            match job_state(job, &status) {
                JobState::Done(address) => {
                    if let Some(address) = &address {
                        server_text::protect_address(address);
                    }
                    progress.pager.download = address;
                    let wait = job_waits.learn(&dataset, interval, polls, waited);
                    self.sink.send(LedgerEvent::JobWait { dataset, wait }).await??;
                    return Ok(JobEnd::Done);
                }
                JobState::Lost(error) => return Ok(JobEnd::Lost(error)),
                JobState::Unusable(error) => return Err(ShardError::Failed(error).into()),
                JobState::Pending => known_until = waited,
                JobState::Unknown(state) => {
                    self.client.context.unknown_job_states.warn_once(&dataset, &state);
                    if waited - known_until >= MAX_UNKNOWN_TIME {
                        let reason =
                            format!("its state is `{state}`, which the catalogue does not list");
                        return Err(
                            ShardError::Failed(RequestError::AsyncJob(reason.into())).into()
                        );
                    }
                }
            }
        }
        let reason = format!("it is not done after {MAX_JOB_TIME:?}");
        Err(ShardError::Failed(RequestError::AsyncJob(reason.into())).into())
    }

    /// Deletes the shard's job, if there is one, even if the run is to end.
    pub(crate) async fn delete_job(&self, progress: &mut ShardProgress) -> Result<(), RunError> {
        let endpoint = Arc::clone(&progress.pager.endpoint);
        let remote_job = match &endpoint.async_job {
            Some(job) if !progress.pager.job_id.is_empty() => remote_job(progress, job),
            _ => None,
        };
        progress.pager.job_id.clear();
        progress.job_permit = None;
        let Some(remote_job) = remote_job else { return Ok(()) };
        let delete = self.client.delete_job(&remote_job);
        let is_deleted = match self.client.context.shutdown.is_cancelled() {
            // the next run deletes it, so the end of this one is not delayed for long
            true => timeout(FINAL_REQUEST_TIME, delete).await.unwrap_or(false),
            false => delete.await,
        };
        if is_deleted {
            self.sink.send(LedgerEvent::Deleted(remote_job)).await??;
        }
        Ok(())
    }
}

/// What the ledger records of a submitted job. `None` if the platform has no request to delete it.
fn remote_job(progress: &ShardProgress, job: &AsyncJob) -> Option<RemoteJob> {
    let delete = job.delete.as_ref()?.fill(&progress.pager.placeholder_values(1));
    Some(RemoteJob { dataset: progress.shard().dataset.name.clone(), path: delete.target })
}

impl ApiClient {
    /// Deletes a job. Returns whether it no longer exists.
    pub(crate) async fn delete_job(&self, job: &RemoteJob) -> bool {
        let request = ApiRequest {
            method: Method::DELETE,
            target: job.path.clone(),
            ..ApiRequest::default()
        };
        let options = RequestOptions { sent_after_shutdown: true, ..RequestOptions::default() };
        match self.send_with_retry(request, options, |_| Ok(())).await {
            Ok(()) => true,
            Err(FetchError::Shard(error)) => error.into_request_error().is_not_found(),
            Err(FetchError::Run(_)) => false,
        }
    }

    /// Asks up to when jobs of `endpoint` have data, in milliseconds since 1970. [`i64::MAX`] if
    /// the platform does not say.
    pub(crate) async fn job_data_until(
        &self,
        endpoint: &Endpoint,
        interval: Interval,
    ) -> Result<i64, FetchError> {
        let availability = endpoint.async_job.as_ref().and_then(|job| job.available.as_ref());
        let Some((template, pointer)) = availability else { return Ok(i64::MAX) };
        let values = PlaceholderValues::bare(interval, &self.context.request.api_version);
        let request = template.fill(&values);
        let until = self.request_text(request, RequestOptions::default(), pointer.clone()).await?;
        let time: jiff::Timestamp = until.parse().map_err(|_| {
            ShardError::Failed(RequestError::Malformed(
                format!("`{until}` is not a valid time").into(),
            ))
        })?;
        Ok(time.as_millisecond())
    }

    async fn request_json(
        &self,
        request: ApiRequest,
        options: RequestOptions,
    ) -> Result<Value, FetchError> {
        self.send_with_retry(request, options, |response| parse_json(response.body())).await
    }

    /// Sends a request and returns the text at `pointer` of its response.
    async fn request_text(
        &self,
        request: ApiRequest,
        options: RequestOptions,
        pointer: JsonPointer,
    ) -> Result<String, FetchError> {
        let read = move |response: Response<Bytes>| {
            text_at(&parse_json(response.body())?, &pointer).ok_or_else(|| {
                RequestError::Malformed(
                    format!("the response has no /{}", pointer.join("/")).into(),
                )
            })
        };
        self.send_with_retry(request, options, read).await
    }
}

/// Warns of a job that may exist although no response says so.
///
/// Nobody can look for it: as far as is known, no platform has a request that lists jobs and tells
/// whose they are (`platform` says where that is known from). So the job is named, and expires.
pub(super) fn warn_of_lost_job(path: &ServerText, error: &RequestError) {
    tracing::warn!(
        %path, %error,
        "the response to a submission was lost: the platform may keep a job that nobody deletes"
    );
}

fn parse_json(body: &[u8]) -> Result<Value, RequestError> {
    serde_json::from_slice(body).map_err(|error| RequestError::Malformed(error.to_string().into()))
}
