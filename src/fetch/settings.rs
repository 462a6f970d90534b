//! How shards are fetched: `[fetch]`, checked.

use std::time::Duration;

use crate::{
    fetch::NewFieldPolicy,
    http::transport::{HttpTransport, TransportError},
};

/// How shards are fetched.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// Fetchers that run at once, each on one shard.
    pub actors: usize,
    /// How wide shards are.
    pub shard: ShardWidth,
    /// A shard narrower than twice this is not bisected.
    pub smallest_shard: Duration,
    /// The time after which an unfinished shard is committed partially.
    pub commit_every: Duration,
    /// The requests that a fetcher can make in that time within the quota. `None` if there is no
    /// quota.
    pub requests_per_commit: Option<u64>,
    /// Requests of one shard in flight at once, where pages are numbered.
    pub ahead: usize,
    /// Which endpoint fetches a dataset that has two.
    pub strategy: Strategy,
    /// Asynchronous jobs that may exist at once.
    pub jobs: usize,
    /// How long a shard may wait until its data are available to jobs.
    pub job_data_wait: Duration,
    /// Rows of a page; a dataset may allow fewer.
    pub page_size: u32,
    /// The time limit of one request.
    pub timeout: Duration,
    /// The time limit of connecting.
    pub connect_timeout: Duration,
    /// The size limit of a response body, in bytes.
    pub max_body: u64,
    /// What happens to fields that have no column.
    pub on_new_field: NewFieldPolicy,
}

impl FetchSettings {
    /// The transport with these limits.
    ///
    /// # Errors
    /// See [`HttpTransport::new`].
    pub(crate) fn transport(&self) -> Result<HttpTransport, TransportError> {
        HttpTransport::new(self.timeout, self.connect_timeout, self.max_body)
    }
}

/// How wide shards are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardWidth {
    /// The width that needs the fewest requests, from the known row counts, but not so wide that a
    /// crash loses much.
    Auto,
    /// At most this wide, and no wider than every endpoint accepts.
    Fixed(Duration),
}

/// Which endpoint fetches a dataset that has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Always the query.
    Query,
    /// Always the job, once its data are available.
    Job,
    /// The job where it needs fewer requests and its data are available, else the query.
    Auto,
}
