//! Logging and metrics: what a run says about itself while it goes on.
//!
//! Log lines go to standard error, above the progress bars, and carry the source, dataset and shard
//! that they are about: the span of a run has the field `source`, the span of a shard `dataset` and
//! `shard`. Start with [`init`] for logging, with [`metrics`] for the counters of a run.

pub(crate) mod metrics;

use std::io::IsTerminal;

use tracing::Span;
use tracing_indicatif::IndicatifLayer;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::time::interval::Interval;

/// The filter of log lines unless `RUST_LOG` is set.
const DEFAULT_FILTER: &str = "warn,cxbackfill=info";

/// The name of spans that are drawn as a progress bar; other spans only give context to log lines.
pub(crate) const PROGRESS_BAR_SPAN: &str = "progress_bar";

/// Installs the program's log and progress bar output. A second call does nothing.
pub fn init() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let progress_bars = IndicatifLayer::new();
    let log_lines = tracing_subscriber::fmt::layer()
        .with_writer(progress_bars.get_stderr_writer())
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_filter(filter);
    let progress_bars =
        progress_bars.with_filter(filter_fn(|metadata| metadata.name() == PROGRESS_BAR_SPAN));
    // an error means that a subscriber is installed already
    let _ = tracing_subscriber::registry().with(log_lines).with(progress_bars).try_init();
}

/// The span of one source's run.
pub(crate) fn run_span(source: Option<&str>) -> Span {
    tracing::info_span!("run", source)
}

/// The span of fetching one shard.
pub(crate) fn shard_span(dataset: &str, interval: Interval) -> Span {
    tracing::info_span!("shard", dataset, shard = %interval)
}
