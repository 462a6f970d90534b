//! Logging and metrics: what a run says about itself while it goes on.
//!
//! Log lines go to standard error, above the progress bars, and carry the source, dataset and shard
//! that they are about: the span of a run has the field `source`, the span of a shard `dataset` and
//! `shard`. Start with [`init`] for logging, with [`metrics`] for the counters of a run.
//! Messages that no filter hides, such as why a command ended, are written by [`tell`].

mod json_lines;
pub(crate) mod metrics;
mod redacting_writer;

use std::{
    io::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{Level, Span};
use tracing_indicatif::{IndicatifLayer, suspend_tracing_indicatif};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use self::{json_lines::JsonLines, redacting_writer::RedactingWriter};
use crate::time::interval::Interval;

/// The filter of log lines if neither the command line nor `RUST_LOG` has one.
const DEFAULT_FILTER: &str = "warn,cxbackfill=info";

/// The settings of the process.
static SETTINGS: OnceLock<LogSettings> = OnceLock::new();

/// The number of requests whose span was made.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// The form of what goes to standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogSettings {
    /// The filter, in the syntax of `RUST_LOG`. `None` means that variable, or the default.
    pub filter: Option<&'static str>,
    pub format: LogFormat,
    /// Whether notes and progress are left out.
    pub quiet: bool,
}

/// The name of spans that are drawn as a progress bar; other spans only give context to log lines.
pub(crate) const PROGRESS_BAR_SPAN: &str = "progress_bar";

/// Installs the program's log and progress bar output. A second call does nothing.
pub(crate) fn init(settings: &LogSettings) {
    let filter = match settings.filter {
        Some(filter) => EnvFilter::new(filter),
        None => {
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
        }
    };
    let progress_bars = IndicatifLayer::new();
    let writer = RedactingWriter(progress_bars.get_stderr_writer());
    let log_lines: Box<dyn Layer<_> + Send + Sync> = match settings.format {
        LogFormat::Json => JsonLines(writer).boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(console::colors_enabled_stderr())
            .with_target(false)
            // these would be printed to standard error too, and a panic follows if it is closed
            .log_internal_errors(false)
            .boxed(),
    };
    let log_lines = log_lines.with_filter(filter);
    let progress_bars =
        progress_bars.with_filter(filter_fn(|metadata| metadata.name() == PROGRESS_BAR_SPAN));
    // an error means that a subscriber is installed already
    let _ = tracing_subscriber::registry().with(log_lines).with(progress_bars).try_init();
    let _ = SETTINGS.set(settings.clone());
}

/// The settings of the process: the default ones before [`init`].
pub(crate) fn settings() -> LogSettings {
    SETTINGS.get().cloned().unwrap_or_default()
}

/// Writes a message to standard error that `RUST_LOG` does not hide: above the progress bars, in
/// the form of log lines. Its text begins with `note`, `warning` or `error`, by its level.
pub(crate) fn tell(level: Level, source: Option<&str>, message: &str) {
    let kind = match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        _ if settings().quiet => return,
        _ => "note",
    };
    write_message(level, kind, source, message);
}

/// Writes a note to standard error that not even `-q` hides: what the user asked for and cannot
/// know otherwise, such as the URL of a page.
pub(crate) fn announce(message: &str) {
    write_message(Level::INFO, "note", None, message);
}

fn write_message(level: Level, kind: &str, source: Option<&str>, message: &str) {
    let line = match settings().format {
        LogFormat::Json => json_lines::line(level, message, source),
        LogFormat::Text => {
            let prefix = source.map_or(String::new(), |name| format!("{name}: "));
            format!("{kind}: {prefix}{message}\n")
        }
    };
    // whoever closed standard error, or let it fill up, reads no message
    suspend_tracing_indicatif(|| drop(std::io::stderr().lock().write_all(line.as_bytes())));
}

/// The span of one source's run. Its level is that of errors, so that no filter separates it from
/// the log lines that it gives context to.
pub(crate) fn run_span(source: Option<&str>) -> Span {
    tracing::error_span!("run", source)
}

/// The span of fetching one shard, at the level of errors like that of the run.
pub(crate) fn shard_span(dataset: &str, interval: Interval) -> Span {
    tracing::error_span!("shard", dataset, shard = %interval)
}

/// The span of a request and its retries. Its number tells it from the other requests of the
/// process, while the correlation id of the platform is that of one attempt.
pub(crate) fn request_span() -> Span {
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    tracing::error_span!("request", request = number)
}

/// The span of one attempt of a request, counted from 1.
pub(crate) fn attempt_span(attempt: u32) -> Span {
    tracing::error_span!("attempt", attempt)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

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
        let log = log.text();
        assert!(log.contains("run{source=\"emea\"}:shard{dataset=\"calls\" shard=1970"), "{log}");
    }
}
