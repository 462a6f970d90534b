//! Logging and metrics: what a run says about itself while it goes on.
//!
//! Log lines go to standard error, above the progress bars, and carry the source, dataset and shard
//! that they are about: the span of a run has the field `source`, the span of a shard `dataset` and
//! `shard`. Start with [`init`] for logging, with [`metrics`] for the counters of a run.

pub(crate) mod metrics;
mod redacting_writer;

use std::io::IsTerminal;

use tracing::Span;
use tracing_indicatif::IndicatifLayer;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use self::redacting_writer::RedactingWriter;
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
        .with_writer(RedactingWriter(progress_bars.get_stderr_writer()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // these would be printed to standard error too, and a panic follows if it is closed
        .log_internal_errors(false)
        .with_filter(filter);
    let progress_bars =
        progress_bars.with_filter(filter_fn(|metadata| metadata.name() == PROGRESS_BAR_SPAN));
    // an error means that a subscriber is installed already
    let _ = tracing_subscriber::registry().with(log_lines).with(progress_bars).try_init();
}

/// The span of one source's run. Its level is that of errors, so that no filter separates it from the
/// log lines that it gives context to.
pub(crate) fn run_span(source: Option<&str>) -> Span {
    tracing::error_span!("run", source)
}

/// The span of fetching one shard, at the level of errors like that of the run.
pub(crate) fn shard_span(dataset: &str, interval: Interval) -> Span {
    tracing::error_span!("shard", dataset, shard = %interval)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_filter_of_warnings_does_not_hide_the_source_and_shard_of_a_warning() {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .with_filter(EnvFilter::new("warn"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _run = run_span(Some("emea")).entered();
            let _shard = shard_span("calls", Interval::day_of(0)).entered();
            tracing::warn!("careful");
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("run{source=\"emea\"}:shard{dataset=\"calls\" shard=1970"), "{log}");
    }
}
