//! What is submitted and awaited before there are pages: jobs. Whatever becomes of the shard, its job
//! is deleted; one whose run was killed is known to the ledger, and the next run deletes it.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    catalog::{ApiRequest, AsyncJob, Endpoint, JsonPointer, PlaceholderValues},
    fetch::{
        ApiClient, FetchError, Fetcher, RunError, ShardError,
        request::{LAST_WORD, RequestOptions},
        shard_progress::ShardProgress,
    },
    http::error::RequestError,
    ledger::RemoteJob,
    sink::LedgerEvent,
    time::interval::Interval,
};

/// The pause before the first look at a job, and the longest: it doubles in between.
const FIRST_POLL_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_POLL_PAUSE: Duration = Duration::from_secs(30);
/// How long a job may take: the platform gives up long before.
const LONGEST_JOB: Duration = Duration::from_secs(6 * 60 * 60);

/// How a job is.
enum JobState {
    Done,
    Waiting,
    /// It failed, or is no longer there: it may be submitted again.
    Lost(RequestError),
}

impl Fetcher {
    /// Submits what a chain asks for, and waits until there are results.
    pub(crate) async fn submit(&self, progress: &mut ShardProgress) -> Result<(), FetchError> {
        let endpoint = Arc::clone(&progress.pager.endpoint);
        let Some(task) = &endpoint.async_job else { return Ok(()) };
        let mut lost = 0;
        loop {
            let slot = Arc::clone(&self.client.context.jobs);
            progress.slot = Some(tokio::select! {
                () = self.client.context.shutdown.cancelled() => return Err(RunError::Interrupted.into()),
                slot = slot.acquire_owned() => slot.map_err(|_| RunError::Interrupted)?,
            });
            let call = task.submit.fill_filtered(&progress.pager.slots(1), progress.pager.filter());
            let splittable = self.splittable(progress.shard());
            let options = RequestOptions { splittable, binding: true, ..RequestOptions::default() };
            progress.pager.task = self.client.value(call, options, task.id.clone()).await?;
            self.remember(progress, task).await?;
            let fault = match self.wait(progress, task).await? {
                JobState::Done => return Ok(()),
                JobState::Lost(fault) => fault,
                JobState::Waiting => {
                    RequestError::AsyncJob(format!("it is not done after {LONGEST_JOB:?}"))
                }
            };
            self.forget(progress).await?;
            lost += 1;
            if lost >= self.client.context.policy.attempts {
                return Err(ShardError::Failed(fault).into());
            }
            tracing::warn!(shard = %progress.shard().interval, %fault, "submitted again");
            self.client.context.metrics.retries.add(1);
        }
    }

    /// Looks at a job, less and less often, until it is done or lost.
    async fn wait(
        &self,
        progress: &mut ShardProgress,
        task: &AsyncJob,
    ) -> Result<JobState, FetchError> {
        let (mut pause, mut waited) = (FIRST_POLL_PAUSE, Duration::ZERO);
        while waited < LONGEST_JOB {
            self.client.pause(pause).await?;
            waited += pause;
            pause = (pause * 2).min(LONGEST_POLL_PAUSE);
            let call = task.poll.fill(&progress.pager.slots(1));
            let reply: Value = match self.client.json(call, RequestOptions::default()).await {
                Ok(reply) => reply,
                Err(FetchError::Shard(ShardError::Failed(fault))) if fault.is_not_found() => {
                    return Ok(JobState::Lost(fault));
                }
                Err(error) => return Err(error),
            };
            match state(task, &reply) {
                JobState::Waiting => {}
                JobState::Done => {
                    progress.pager.download =
                        task.download.as_ref().and_then(|place| text_at(&reply, place));
                    return Ok(JobState::Done);
                }
                lost => return Ok(lost),
            }
        }
        Ok(JobState::Waiting)
    }

    /// Notes that the platform keeps something for us.
    async fn remember(&self, progress: &ShardProgress, task: &AsyncJob) -> Result<(), RunError> {
        if let Some(orphan) = orphan(progress, task) {
            self.sink.send(LedgerEvent::Submitted(orphan)).await??;
        }
        Ok(())
    }

    /// Deletes the job of a chain, if there is one, even where the run is to end.
    pub(crate) async fn forget(&self, progress: &mut ShardProgress) -> Result<(), RunError> {
        let endpoint = Arc::clone(&progress.pager.endpoint);
        let orphan = endpoint
            .async_job
            .as_ref()
            .filter(|_| !progress.pager.task.is_empty())
            .and_then(|task| orphan(progress, task));
        progress.pager.task.clear();
        progress.slot = None;
        let Some(orphan) = orphan else { return Ok(()) };
        let deleted = match self.client.context.shutdown.is_cancelled() {
            // who has told the run to end does not wait for long, and the next run deletes it as well
            true => timeout(LAST_WORD, self.client.delete(&orphan)).await.unwrap_or(false),
            false => self.client.delete(&orphan).await,
        };
        match deleted {
            true => Ok(self.sink.send(LedgerEvent::Deleted(orphan)).await??),
            false => Ok(()),
        }
    }
}

/// What the ledger is to know of a job that can be deleted.
fn orphan(progress: &ShardProgress, task: &AsyncJob) -> Option<RemoteJob> {
    let delete = task.delete.as_ref()?.fill(&progress.pager.slots(1));
    Some(RemoteJob { dataset: progress.shard().dataset.name.clone(), path: delete.target })
}

fn state(task: &AsyncJob, reply: &Value) -> JobState {
    let state = text_at(reply, &task.state).unwrap_or_default();
    let is = |states: &[String]| states.contains(&state);
    if is(&task.done) {
        JobState::Done
    } else if is(&task.failed) || is(&task.gone) {
        let reason =
            task.error.as_ref().and_then(|place| text_at(reply, place)).unwrap_or_default();
        JobState::Lost(RequestError::AsyncJob(format!("{state} {reason}").trim_end().to_owned()))
    } else {
        JobState::Waiting
    }
}

impl ApiClient {
    /// Deletes a job that is no longer needed. One that is not there is as good as deleted.
    pub(crate) async fn delete(&self, orphan: &RemoteJob) -> bool {
        let call = ApiRequest {
            method: Method::DELETE,
            target: orphan.path.clone(),
            ..ApiRequest::default()
        };
        let options = RequestOptions { last_word: true, ..RequestOptions::default() };
        match self.send_with_retry(call, options, |_, _| Ok(())).await {
            Ok(()) => true,
            Err(FetchError::Shard(obstacle)) => obstacle.into_fault().is_not_found(),
            Err(FetchError::Run(_)) => false,
        }
    }

    /// Up to when the platform has data for jobs of `endpoint`, in milliseconds; [`i64::MAX`] where it
    /// does not tell.
    pub(crate) async fn available(
        &self,
        endpoint: &Endpoint,
        interval: Interval,
    ) -> Result<i64, FetchError> {
        let Some((request, until)) =
            endpoint.async_job.as_ref().and_then(|task| task.available.as_ref())
        else {
            return Ok(i64::MAX);
        };
        let slots = PlaceholderValues::bare(interval, &self.context.request.api_version);
        let call = request.fill(&slots);
        let until = self.value(call, RequestOptions::default(), until.clone()).await?;
        let invalid = |_| {
            ShardError::Failed(RequestError::Malformed(format!("`{until}` is not a valid time")))
        };
        Ok(until.parse::<jiff::Timestamp>().map_err(invalid)?.as_millisecond())
    }

    async fn json(&self, call: ApiRequest, options: RequestOptions) -> Result<Value, FetchError> {
        let read = |_, body: bytes::Bytes| {
            serde_json::from_slice(&body).map_err(|e| RequestError::Malformed(e.to_string()))
        };
        self.send_with_retry(call, options, read).await
    }

    /// The text at a place of a reply.
    async fn value(
        &self,
        call: ApiRequest,
        options: RequestOptions,
        place: JsonPointer,
    ) -> Result<String, FetchError> {
        let read = move |_, body: bytes::Bytes| {
            let reply = serde_json::from_slice(&body)
                .map_err(|error| RequestError::Malformed(error.to_string()))?;
            let missing =
                || RequestError::Malformed(format!("there is no /{} in it", place.join("/")));
            text_at(&reply, &place).ok_or_else(missing)
        };
        self.send_with_retry(call, options, read).await
    }
}

/// The text or number at a place.
fn text_at(reply: &Value, place: &JsonPointer) -> Option<String> {
    match place.iter().try_fold(reply, |value, key| value.get(key))? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
