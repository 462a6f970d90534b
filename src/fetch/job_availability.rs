//! Up to when jobs have data: platforms feed the store that jobs read with a delay.

use std::{sync::OnceLock, time::Duration};

use dashmap::DashMap;
use http::StatusCode;
use tokio::time::Instant;

use crate::{
    catalog::{Dataset, Endpoint},
    fetch::{ApiClient, FetchError, Fetcher, ShardError},
    http::error::RequestError,
    time::interval::{Interval, iso},
};

/// The pause before asking again up to when jobs have data.
const AVAILABILITY_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Up to when jobs have data, as far as this run knows. Shared by all fetchers.
#[derive(Debug, Default)]
pub(crate) struct JobAvailability {
    /// The platform's last answer, by dataset.
    answers: DashMap<String, Answer>,
    /// The jobs of this run that could not be had, by dataset. Jobs that the platform refuses for
    /// good count as [`MOST_REFUSALS`].
    refusals: DashMap<String, u32>,
    /// When the first shard began to wait: one waiting time for all shards of the run.
    waiting_since: OnceLock<Instant>,
}

/// Up to when jobs have data, as the platform answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// In milliseconds since 1970.
    pub until_ms: i64,
    /// When the platform is asked again, if that is not enough.
    pub valid_until: Instant,
}

/// With so many jobs of a dataset that could not be had, a run that may use the query does so.
const MOST_REFUSALS: u32 = 3;

impl JobAvailability {
    /// Records that a job could not be had.
    pub(super) fn refuse(&self, dataset: &str, error: &RequestError) {
        let is_final = matches!(error, RequestError::Refused(response) if matches!(
            response.status,
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        ));
        let count = if is_final { MOST_REFUSALS } else { 1 };
        *self.refusals.entry(dataset.to_owned()).or_default() += count;
    }

    /// Whether jobs of the dataset are not worth another attempt.
    pub(super) fn is_refused(&self, dataset: &str) -> bool {
        self.refusals.get(dataset).is_some_and(|count| *count >= MOST_REFUSALS)
    }

    /// How long shards have been waiting. Starts the waiting time at the first call.
    fn waited(&self) -> Duration {
        self.waiting_since.get_or_init(Instant::now).elapsed()
    }
}

impl Fetcher {
    /// Requires that jobs have the data of an interval.
    ///
    /// # Errors
    /// [`ShardError::NotBefore`] if they may have them soon, [`ShardError::NotYetAvailable`] if
    /// shards of this run have waited as long as they may.
    pub(super) async fn require_job_data(
        &self,
        dataset: &Dataset,
        job: &Endpoint,
        interval: Interval,
    ) -> Result<(), FetchError> {
        let context = &self.client.context;
        let answer = self.client.job_data_answer(dataset, job, interval).await?;
        if answer.until_ms >= interval.to_ms() {
            return Ok(());
        }
        let reason = format!("the platform has data for jobs only up to {}", iso(answer.until_ms));
        let pause = answer.valid_until.saturating_duration_since(Instant::now());
        if context.job_availability.waited() + pause > context.settings.job_data_wait {
            let error = RequestError::NotYet(format!("{reason}; run again later").into());
            return Err(ShardError::NotYetAvailable(error).into());
        }
        let error = RequestError::NotYet(reason.into());
        Err(ShardError::NotBefore { instant: answer.valid_until, error }.into())
    }
}

impl ApiClient {
    /// Up to when jobs have data. Asks the platform unless its last answer is recent or covers
    /// `needed`.
    pub(super) async fn job_data_answer(
        &self,
        dataset: &Dataset,
        job: &Endpoint,
        needed: Interval,
    ) -> Result<Answer, FetchError> {
        let answers = &self.context.job_availability.answers;
        let known = answers.get(&dataset.name).map(|answer| *answer);
        let is_usable = |answer: &Answer| {
            answer.until_ms >= needed.to_ms() || answer.valid_until > Instant::now()
        };
        if let Some(answer) = known.filter(is_usable) {
            return Ok(answer);
        }
        let until_ms = self.job_data_until(job, needed).await?;
        let answer = Answer { until_ms, valid_until: Instant::now() + AVAILABILITY_PAUSE };
        answers.insert(dataset.name.clone(), answer);
        Ok(answer)
    }
}
