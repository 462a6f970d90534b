//! Fetching: turns leased shards into rows at the sink.
//!
//! A fetcher takes one shard at a time from the planner and ends its lease in exactly one way:
//! committed, split, failed, given up or returned (G2). Start with [`fetch_shard`], the course of
//! one shard from its endpoint to its end, and [`fetch_pages`], the loop over its pages. They use
//! [`endpoint_choice`] (whether a query or a job fetches how much at once; from [`row_statistics`],
//! [`request_count`](mod@request_count) and [`shard_sizing`]; [`choose_endpoint`] asks the platform
//! what the choice lacks), [`async_job`] (submit, poll, delete), [`pagination`] (which request
//! comes next), [`send_with_retry`] (one request with its retries), [`outage`] (whether the
//! platform answers at all), [`in_flight`] (several requests at once) and [`shard_progress`] with
//! its [`watermark`] (what has arrived, and what of it can be committed).

pub(crate) mod actor;
pub(crate) mod api_client;
pub(crate) mod async_job;
mod build_request;
pub(crate) mod choose_endpoint;
pub(crate) mod circuit_breaker;
pub(crate) mod context;
mod decoders;
pub(crate) mod doubts;
pub(crate) mod endpoint_choice;
pub(crate) mod error;
pub(crate) mod failed_parents;
pub(crate) mod fetch_pages;
pub(crate) mod fetch_shard;
pub(crate) mod in_flight;
pub(crate) mod job_availability;
mod job_state;
pub(crate) mod job_waits;
mod new_field_policy;
pub(crate) mod open_rows;
pub(crate) mod outage;
pub(crate) mod pagination;
mod request_count;
pub(crate) mod request_log;
mod row_statistics;
pub(crate) mod send_with_retry;
pub(crate) mod settings;
pub(crate) mod shard_end;
pub(crate) mod shard_progress;
pub(crate) mod shard_sizing;
mod shard_work;
pub(crate) mod totals;
pub(crate) mod watermark;

pub(crate) use self::{
    actor::{FetchActor, Fetcher, Run},
    api_client::{ApiClient, ListedParents},
    circuit_breaker::CircuitBreaker,
    context::FetchContext,
    decoders::Decoders,
    error::{FetchError, RunError, ShardError},
    job_availability::JobAvailability,
    job_state::UnknownStates,
    job_waits::JobWaits,
    new_field_policy::NewFieldPolicy,
    outage::OutageMonitor,
    pagination::RequestContext,
    request_count::{request_count, request_count_by_id},
    row_statistics::RowStatistics,
    settings::{FetchSettings, ShardWidth, Strategy},
    shard_sizing::ShardSizing,
    shard_work::ShardWork,
    totals::{DatasetTotals, FetchTotals},
};

#[cfg(test)]
mod tests;
