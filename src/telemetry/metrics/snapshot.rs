//! What the metrics of a run say at one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the metrics of a run say at one moment. The ledger keeps it as JSON while a run goes on, so
/// that other processes can show it; times are RFC 3339. Fields that an earlier program did not
/// write have their default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetricsSnapshot {
    /// When it was made.
    pub at: String,
    /// What the run is doing, such as `throttled for 42 s`.
    pub words: String,
    /// Since when it has been doing this.
    pub since: String,
    /// Rows received, those of attempts that failed included.
    pub rows: u64,
    /// API requests sent, retries included.
    pub requests: u64,
    /// Requests that were sent again after an error.
    pub retries: u64,
    /// Responses that asked the program to slow down.
    pub rate_limited: u64,
    /// Token requests sent.
    pub token_requests: u64,
    /// Bytes of response bodies, decompressed.
    pub bytes_received: u64,
    /// Requests that are sent and not answered.
    pub in_flight: u64,
    /// Memory of the process in bytes; 0 where the operating system does not report it.
    pub memory_bytes: u64,
    /// Shards of the plan, with those that were split off since.
    pub shards_planned: u64,
    /// Shards that were committed or failed.
    pub shards_done: u64,
    /// Shards that were bisected.
    pub shards_split: u64,
    /// The part of the planned time that is committed or failed, from 0 to 1, without what was left
    /// of datasets that were given up; 1 if that is all of it.
    pub share: f64,
    /// Seconds that the rest is expected to take. `None` if that is not known yet.
    pub eta_s: Option<f64>,
    /// The rate limits in use.
    pub limits: Vec<LimitUse>,
    /// Every dataset of the run.
    pub datasets: BTreeMap<String, DatasetMetricsSnapshot>,
    /// The tokens of the run, the oldest first; only the newest if there were very many.
    pub tokens: Vec<TokenLife>,
    /// When the server told us to wait, the oldest first; only the newest if there were very many.
    pub pauses: Vec<Pause>,
}

/// One dataset of a [`MetricsSnapshot`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DatasetMetricsSnapshot {
    /// What its fetchers are doing.
    pub words: String,
    /// What the platform answers and what is missing, if the credentials may not read it. `None` if
    /// they may, as far as is known.
    pub denied: Option<String>,
    /// Rows received.
    pub rows: u64,
    /// API requests sent, retries included.
    pub requests: u64,
    /// Shards of the plan, with those that were split off since.
    pub shards_planned: u64,
    /// Shards that were committed or failed.
    pub shards_done: u64,
    /// Those of them that failed.
    pub shards_failed: u64,
    /// The part of its planned time that is committed or failed, from 0 to 1.
    pub share: f64,
    /// The shards that are being fetched.
    pub fetching: Vec<Span>,
}

/// A half-open span of time, RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// The start.
    pub from: String,
    /// The end, which it does not contain.
    pub to: String,
}

/// How much of a rate limit is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LimitUse {
    /// The platform's limit bucket, such as `api` or `login`.
    pub key: String,
    /// Requests in the present window, those of other clients included where the server counts.
    pub used: u64,
    /// Requests that the window allows, as far as this program may use it.
    pub limit: u64,
    /// The length of the window in seconds.
    pub per_s: f64,
}

/// The life of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenLife {
    /// When the program got it.
    pub issued: String,
    /// When it expires. `None` if the server does not say.
    pub expires: Option<String>,
}

/// A pause that the server demanded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    /// When it began.
    pub from: String,
    /// When it ends.
    pub to: String,
    /// The dataset that pauses. `None` if all do.
    pub dataset: Option<String>,
    /// Why.
    pub reason: String,
}

/// What happened in a part of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// When the part began, RFC 3339.
    pub at: String,
    /// Its length in seconds.
    pub seconds: f64,
    /// Rows received.
    pub rows: u64,
    /// API requests sent.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Responses that asked the program to slow down.
    pub rate_limited: u64,
    /// The median time from request to response, in milliseconds. `None` if nothing was answered.
    pub latency_p50_ms: Option<f64>,
    /// The time that 95 % of the responses did not exceed, in milliseconds.
    pub latency_p95_ms: Option<f64>,
    /// Memory of the process in bytes; 0 where the operating system does not report it.
    pub memory_bytes: u64,
    /// Requests in the window of the API's limit at the end of the part, those of other clients
    /// included where the server counts. `None` if no limit is known.
    pub used: Option<u64>,
    /// Requests that this window allows. `None` if no limit is known.
    pub limit: Option<u64>,
    /// The length of this window in seconds. `None` if no limit is known.
    pub window_s: Option<f64>,
}
