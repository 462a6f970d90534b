//! Up to when jobs have data: platforms feed the store that jobs read with a delay.

use std::{sync::OnceLock, time::Duration};

use dashmap::DashMap;
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
    /// By dataset, in milliseconds since 1970.
    until_ms: DashMap<String, i64>,
    /// When the first shard began to wait: one waiting time for all shards of the run.
    waiting_since: OnceLock<Instant>,
}

impl JobAvailability {
    /// How long shards have been waiting. Starts the waiting time at the first call.
    fn waited(&self) -> Duration {
        self.waiting_since.get_or_init(Instant::now).elapsed()
    }
}

impl Fetcher {
    /// Waits until jobs have the data of an interval.
    pub(super) async fn await_job_data(
        &self,
        dataset: &Dataset,
        job: &Endpoint,
        interval: Interval,
    ) -> Result<(), FetchError> {
        let context = &self.client.context;
        loop {
            let until = self.client.known_job_data_until(dataset, job, interval).await?;
            if until >= interval.to_ms() {
                return Ok(());
            }
            let reason = format!("the platform has data for jobs only up to {}", iso(until));
            let waited = context.job_availability.waited();
            if waited + AVAILABILITY_PAUSE > context.settings.job_data_wait {
                let error = RequestError::NotYet(format!("{reason}; run again later"));
                return Err(ShardError::NotYetAvailable(error).into());
            }
            tracing::info!(reason, "waiting for job data");
            self.client.pause(AVAILABILITY_PAUSE).await?;
        }
    }
}

impl ApiClient {
    /// Up to when jobs have data, in milliseconds since 1970. Asks the platform unless it is known
    /// that they have the data of `needed`.
    pub(super) async fn known_job_data_until(
        &self,
        dataset: &Dataset,
        job: &Endpoint,
        needed: Interval,
    ) -> Result<i64, FetchError> {
        let known = &self.context.job_availability.until_ms;
        let until = known.get(&dataset.name).map(|until| *until);
        if let Some(until) = until.filter(|&until| until >= needed.to_ms()) {
            return Ok(until);
        }
        let until = self.job_data_until(job, needed).await?;
        known.insert(dataset.name.clone(), until);
        Ok(until)
    }
}
