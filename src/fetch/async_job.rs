//! What is submitted and awaited before there are pages: jobs. Whatever becomes of the shard, its job
//! is deleted; one whose run was killed is known to the ledger, and the next run deletes it.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    catalog::{ApiRequest, AsyncJob, Endpoint, JsonPointer, PlaceholderValues},
    fetch::{
        Client, Fetcher, Halt, Obstacle, Setback,
        request::{LAST_WORD, Leeway},
        shard_progress::Chain,
    },
    http::error::Fault,
    ledger::Orphan,
    sink::Note,
    time::interval::Interval,
};

/// The pause before the first look at a job, and the longest: it doubles in between.
const FIRST_POLL_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_POLL_PAUSE: Duration = Duration::from_secs(30);
/// How long a job may take: the platform gives up long before.
const LONGEST_JOB: Duration = Duration::from_secs(6 * 60 * 60);

/// How a job is.
enum State {
    Done,
    Waiting,
    /// It failed, or is no longer there: it may be submitted again.
    Lost(Fault),
}

impl Fetcher {
    /// Submits what a chain asks for, and waits until there are results.
    pub(crate) async fn submit(&self, chain: &mut Chain) -> Result<(), Setback> {
        let endpoint = Arc::clone(&chain.query.endpoint);
        let Some(task) = &endpoint.task else { return Ok(()) };
        let mut lost = 0;
        loop {
            let slot = Arc::clone(&self.client.shared.jobs);
            chain.slot = Some(tokio::select! {
                () = self.client.shared.shutdown.cancelled() => return Err(Halt::Interrupted.into()),
                slot = slot.acquire_owned() => slot.map_err(|_| Halt::Interrupted)?,
            });
            let call = task.submit.narrowed(&chain.query.slots(1), chain.query.filter());
            let splittable = self.splittable(chain.shard());
            let leeway = Leeway { splittable, binding: true, ..Leeway::default() };
            chain.query.task = self.client.value(call, leeway, task.id.clone()).await?;
            self.remember(chain, task).await?;
            let fault = match self.wait(chain, task).await? {
                State::Done => return Ok(()),
                State::Lost(fault) => fault,
                State::Waiting => Fault::AsyncJob(format!("it is not done after {LONGEST_JOB:?}")),
            };
            self.forget(chain).await?;
            lost += 1;
            if lost >= self.client.shared.policy.attempts {
                return Err(Obstacle::Hopeless(fault).into());
            }
            tracing::warn!(shard = %chain.shard().interval, %fault, "submitted again");
            self.client.shared.board.retries.add(1);
        }
    }

    /// Looks at a job, less and less often, until it is done or lost.
    async fn wait(&self, chain: &mut Chain, task: &AsyncJob) -> Result<State, Setback> {
        let (mut pause, mut waited) = (FIRST_POLL_PAUSE, Duration::ZERO);
        while waited < LONGEST_JOB {
            self.client.pause(pause).await?;
            waited += pause;
            pause = (pause * 2).min(LONGEST_POLL_PAUSE);
            let call = task.poll.fill(&chain.query.slots(1));
            let reply: Value = match self.client.json(call, Leeway::default()).await {
                Ok(reply) => reply,
                Err(Setback::Shard(Obstacle::Hopeless(fault))) if fault.is_gone() => {
                    return Ok(State::Lost(fault));
                }
                Err(setback) => return Err(setback),
            };
            match state(task, &reply) {
                State::Waiting => {}
                State::Done => {
                    chain.query.download =
                        task.download.as_ref().and_then(|place| text_at(&reply, place));
                    return Ok(State::Done);
                }
                lost => return Ok(lost),
            }
        }
        Ok(State::Waiting)
    }

    /// Notes that the platform keeps something for us.
    async fn remember(&self, chain: &Chain, task: &AsyncJob) -> Result<(), Halt> {
        if let Some(orphan) = orphan(chain, task) {
            self.sink.send(Note::Submitted(orphan)).await??;
        }
        Ok(())
    }

    /// Deletes the job of a chain, if there is one, even where the run is to end.
    pub(crate) async fn forget(&self, chain: &mut Chain) -> Result<(), Halt> {
        let endpoint = Arc::clone(&chain.query.endpoint);
        let orphan = endpoint
            .task
            .as_ref()
            .filter(|_| !chain.query.task.is_empty())
            .and_then(|task| orphan(chain, task));
        chain.query.task.clear();
        chain.slot = None;
        let Some(orphan) = orphan else { return Ok(()) };
        let deleted = match self.client.shared.shutdown.is_cancelled() {
            // who has told the run to end does not wait for long, and the next run deletes it as well
            true => timeout(LAST_WORD, self.client.delete(&orphan)).await.unwrap_or(false),
            false => self.client.delete(&orphan).await,
        };
        match deleted {
            true => Ok(self.sink.send(Note::Deleted(orphan)).await??),
            false => Ok(()),
        }
    }
}

/// What the ledger is to know of a job that can be deleted.
fn orphan(chain: &Chain, task: &AsyncJob) -> Option<Orphan> {
    let delete = task.delete.as_ref()?.fill(&chain.query.slots(1));
    Some(Orphan { dataset: chain.shard().dataset.name.clone(), path: delete.target })
}

fn state(task: &AsyncJob, reply: &Value) -> State {
    let state = text_at(reply, &task.state).unwrap_or_default();
    let is = |states: &[String]| states.contains(&state);
    if is(&task.done) {
        State::Done
    } else if is(&task.failed) || is(&task.gone) {
        let reason =
            task.error.as_ref().and_then(|place| text_at(reply, place)).unwrap_or_default();
        State::Lost(Fault::AsyncJob(format!("{state} {reason}").trim_end().to_owned()))
    } else {
        State::Waiting
    }
}

impl Client {
    /// Deletes a job that is no longer needed. One that is not there is as good as deleted.
    pub async fn delete(&self, orphan: &Orphan) -> bool {
        let call = ApiRequest {
            method: Method::DELETE,
            target: orphan.path.clone(),
            ..ApiRequest::default()
        };
        let leeway = Leeway { last_word: true, ..Leeway::default() };
        match self.ask(call, leeway, |_, _| Ok(())).await {
            Ok(()) => true,
            Err(Setback::Shard(obstacle)) => obstacle.into_fault().is_gone(),
            Err(Setback::Run(_)) => false,
        }
    }

    /// Up to when the platform has data for jobs of `endpoint`, in milliseconds; [`i64::MAX`] where it
    /// does not tell.
    pub(crate) async fn available(
        &self,
        endpoint: &Endpoint,
        interval: Interval,
    ) -> Result<i64, Setback> {
        let Some((request, until)) =
            endpoint.task.as_ref().and_then(|task| task.available.as_ref())
        else {
            return Ok(i64::MAX);
        };
        let slots = PlaceholderValues::bare(interval, &self.shared.origin.api_version);
        let call = request.fill(&slots);
        let until = self.value(call, Leeway::default(), until.clone()).await?;
        let invalid =
            |_| Obstacle::Hopeless(Fault::Malformed(format!("`{until}` is not a valid time")));
        Ok(until.parse::<jiff::Timestamp>().map_err(invalid)?.as_millisecond())
    }

    async fn json(&self, call: ApiRequest, leeway: Leeway) -> Result<Value, Setback> {
        let read = |_, body: bytes::Bytes| {
            serde_json::from_slice(&body).map_err(|e| Fault::Malformed(e.to_string()))
        };
        self.ask(call, leeway, read).await
    }

    /// The text at a place of a reply.
    async fn value(
        &self,
        call: ApiRequest,
        leeway: Leeway,
        place: JsonPointer,
    ) -> Result<String, Setback> {
        let read = move |_, body: bytes::Bytes| {
            let reply = serde_json::from_slice(&body)
                .map_err(|error| Fault::Malformed(error.to_string()))?;
            let missing = || Fault::Malformed(format!("there is no /{} in it", place.join("/")));
            text_at(&reply, &place).ok_or_else(missing)
        };
        self.ask(call, leeway, read).await
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
