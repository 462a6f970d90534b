//! The progress bar of a run, drawn from its metrics.

use std::{future::Future, pin::pin, time::Duration};

use indicatif::{HumanBytes, HumanCount, ProgressStyle};
use tokio::time::{Instant, interval};
use tracing::Span;
use tracing_indicatif::span_ext::IndicatifSpanExt;

use crate::telemetry::{PROGRESS_BAR_SPAN, metrics::Metrics};

/// The time between two updates of a bar.
const TICK: Duration = Duration::from_millis(200);

/// Draws the bar of a run while `run` goes on, below the log lines and beside the bars of other
/// sources. There is no bar before the plan is made, nor where standard error is not a terminal.
pub(super) async fn draw_during<T>(
    metrics: &Metrics,
    source: Option<&str>,
    run: impl Future<Output = T>,
) -> T {
    let mut run = pin!(run);
    let mut bar = None;
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            biased;
            ended = &mut run => return ended,
            _ = ticks.tick() => {}
        }
        if bar.is_none() && metrics.planned_ms.get() > 0 {
            bar = Some(ProgressBar::start(metrics, source));
        }
        if let Some(bar) = &bar {
            bar.update(metrics);
        }
    }
}

struct ProgressBar {
    span: Span,
    /// `NAME: `, in front of the bar's text. Empty if the source has no name.
    prefix: String,
    start: Instant,
}

impl ProgressBar {
    fn start(metrics: &Metrics, source: Option<&str>) -> Self {
        let span = tracing::info_span!(PROGRESS_BAR_SPAN);
        let style =
            ProgressStyle::with_template("{wide_bar} {percent:>3}%  {msg}  {elapsed}, {eta} left");
        span.pb_set_style(&style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        span.pb_set_length(metrics.planned_ms.get());
        span.pb_start();
        let prefix = source.map_or(String::new(), |name| format!("{name}: "));
        Self { span, prefix, start: Instant::now() }
    }

    fn update(&self, metrics: &Metrics) {
        let requests = metrics.requests.get();
        let elapsed_s = self.start.elapsed().as_secs_f64().max(0.001);
        self.span.pb_set_position(metrics.settled_ms.get());
        self.span.pb_set_message(&format!(
            "{}{} rows, {}, {} requests ({:.1}/s), {} shards",
            self.prefix,
            HumanCount(metrics.rows.get()),
            HumanBytes(metrics.bytes_received.get()),
            HumanCount(requests),
            requests as f64 / elapsed_s,
            metrics.active_shards.get(),
        ));
    }
}
