//! What all fetchers of a run share.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};

use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Dataset,
    fetch::{
        CircuitBreaker, FetchSettings, JobAvailability, JobWaits, ListedParents, OutageMonitor,
        RequestContext, RowStatistics, UnknownStates,
    },
    http::{dialect::Dialect, rate_limit::RateLimit, retry::RetryPolicy, transport::Transport},
    telemetry::metrics::Metrics,
};

/// What all fetchers of a run share.
pub(crate) struct FetchContext {
    /// What requests are built from beside the catalog: the API's address and version, the time.
    pub request: Arc<RequestContext>,
    pub settings: FetchSettings,
    /// Parent datasets: child endpoints are queried once per id of these.
    pub parents: BTreeMap<String, Arc<Dataset>>,
    /// The ids of parents that this run has listed.
    pub listed_parents: ListedParents,
    /// The filter of each dataset, sent as it is.
    pub filters: BTreeMap<String, Arc<Map<String, Value>>>,
    /// Limits the asynchronous jobs that exist at once.
    pub job_permits: Arc<Semaphore>,
    /// How many rows each dataset has.
    pub row_statistics: RowStatistics,
    /// Up to when jobs have data.
    pub job_availability: JobAvailability,
    /// How long to wait for jobs before they are polled.
    pub job_waits: JobWaits,
    /// States of jobs that no catalogue lists.
    pub unknown_job_states: UnknownStates,
    /// Gives up datasets of which shard after shard fails.
    pub circuit_breaker: CircuitBreaker,
    /// Notices outages of the network or of the whole platform.
    pub outages: OutageMonitor,
    /// How often a request is retried, and after which pauses.
    pub policy: RetryPolicy,
    /// Headers and errors of the platform.
    pub dialect: &'static Dialect,
    /// The credential whose quota requests count against.
    pub credential: Arc<str>,
    /// The rate-limit bucket that requests count against, unless their endpoint has one of its own.
    pub bucket: Arc<str>,
    /// Admits requests within the quota.
    pub rate_limit: Arc<RateLimit>,
    /// Sends requests.
    pub transport: Arc<dyn Transport>,
    /// The generation of the newest token that the API accepted from any fetcher.
    pub accepted: AtomicU64,
    /// The run's counters.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the run is to end.
    pub shutdown: CancellationToken,
}

impl FetchContext {
    /// Whether requests of the dataset have a filter of the user.
    pub(super) fn has_filter(&self, dataset: &Dataset) -> bool {
        self.filters.get(&dataset.name).is_some_and(|filter| !filter.is_empty())
    }
}
