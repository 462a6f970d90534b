//! The board: what a run has done so far, for whoever wants to look.
//!
//! A view, never read to decide. Progress bars and the summary are drawn from it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use dashmap::DashMap;
use indicatif::{HumanBytes, HumanCount, ProgressStyle};
use tokio::time::Instant;
use tracing::Span;
use tracing_indicatif::span_ext::IndicatifSpanExt;

use crate::time::interval::Interval;

/// How often the bar is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of one run. Rows and bytes received include those of shards that were fetched in vain.
#[derive(Debug, Default)]
pub struct Metrics {
    /// API requests sent, retries included.
    pub requests: Counter,
    /// Those that were sent again after a fault.
    pub retries: Counter,
    /// Replies that said to slow down.
    pub rate_limited: Counter,
    /// Token requests sent.
    pub token_requests: Counter,
    /// Bytes of reply bodies, decompressed.
    pub bytes_received: Counter,
    /// Rows received.
    pub rows: Counter,
    /// Shards bisected.
    pub shards_split: Counter,
    /// Time committed or set aside, in milliseconds of the data.
    pub settled_ms: Counter,
    /// What each fetcher is at, by its number.
    pub fetchers: DashMap<usize, String>,
}

impl Metrics {
    /// Counts time of the data as dealt with.
    pub fn settle(&self, interval: Interval) {
        self.settled_ms.add(interval.to_ms().abs_diff(interval.from_ms()));
    }
}

/// Draws the bar of a run until it is dropped, beside those of other sources. `whole` is the time to
/// fetch, in time of the data. Where standard error is no terminal there is no bar.
pub(crate) async fn draw(metrics: &Metrics, whole: Duration, source: Option<&str>) {
    let bar = tracing::info_span!("backfill");
    let style =
        ProgressStyle::with_template("{wide_bar} {percent:>3}%  {msg}  {elapsed}, {eta} left");
    bar.pb_set_style(&style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.pb_set_length(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX));
    bar.pb_start();
    let name = source.map_or(String::new(), |name| format!("{name}: "));
    let start = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        show(&bar, &name, metrics, start.elapsed());
    }
}

fn show(bar: &Span, name: &str, metrics: &Metrics, elapsed: Duration) {
    let requests = metrics.requests.get();
    bar.pb_set_position(metrics.settled_ms.get());
    bar.pb_set_message(&format!(
        "{name}{} rows, {}, {} requests ({:.1}/s), {} fetching",
        HumanCount(metrics.rows.get()),
        HumanBytes(metrics.bytes_received.get()),
        HumanCount(requests),
        requests as f64 / elapsed.as_secs_f64().max(0.001),
        metrics.fetchers.len(),
    ));
}
