//! The progress of a run: lines that stay at the bottom of a terminal, or lines of the log.
//!
//! Both are made from the metrics, and by [`view`].

mod view;

use std::{collections::VecDeque, future::Future, pin::pin, sync::Arc, time::Duration};

use console::Term;
use indicatif::ProgressStyle;
use tokio::time::{Instant, interval};
use tracing::Span;
use tracing_indicatif::span_ext::IndicatifSpanExt;

use self::view::SourceView;
use crate::telemetry::{
    self, LogFormat, LogSettings, PROGRESS_BAR_SPAN,
    metrics::{Metrics, MetricsSnapshot},
};

/// The time between two drawings on a terminal.
const TICK: Duration = Duration::from_millis(200);
/// The time between two lines of the log, if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// The time over which rows a second are measured.
const RATE_TIME: Duration = Duration::from_secs(30);
/// From this time on a rate is told.
const TELLING_RATE_TIME: Duration = Duration::from_secs(1);

/// A source and its metrics.
pub(super) type Source<'a> = (Option<&'a str>, Arc<Metrics>);

/// Shows the progress of `sources` while `run` goes on: on a terminal as lines that are drawn again
/// and again, elsewhere as a line of the log. `line_every` is the time between such lines: zero for
/// none, `None` for 30 seconds if nothing is drawn.
pub(super) async fn show_during<T>(
    sources: &[Source<'_>],
    line_every: Option<Duration>,
    run: impl Future<Output = T>,
) -> T {
    let mut run = pin!(run);
    let mut progress = Progress::new(sources, line_every);
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            biased;
            ended = &mut run => return ended,
            _ = ticks.tick() => progress.update(),
        }
    }
}

/// Whether the progress is drawn: on a terminal on which lines can be drawn again, which is what
/// the bars of indicatif need, too, and among lines for people.
fn draws(settings: &LogSettings, can_draw: bool) -> bool {
    can_draw && settings.format == LogFormat::Text && !settings.quiet
}

/// The time between two lines of the log. `None` for none. `given` is zero for none, and `None` if
/// nothing is given: then there are lines where nothing is drawn.
fn time_between_lines(given: Option<Duration>, draws: bool) -> Option<Duration> {
    match given {
        None => Some(LINE_EVERY).filter(|_| !draws),
        given => given.filter(|every| !every.is_zero()),
    }
}

struct Progress<'a> {
    sources: &'a [Source<'a>],
    /// The rows of each source, and of each of its datasets.
    rates: Vec<(Rate, Vec<Rate>)>,
    draws: bool,
    /// The lines on the terminal, once there are some.
    drawn: Option<Span>,
    /// The time between two lines of the log. `None` for none.
    line_every: Option<Duration>,
    /// When the last line of the log was written, or the plan made.
    last_line: Option<Instant>,
}

impl<'a> Progress<'a> {
    fn new(sources: &'a [Source<'a>], line_every: Option<Duration>) -> Self {
        let can_draw = Term::stderr().is_term() && !console::is_dumb();
        let draws = draws(&telemetry::settings(), can_draw);
        Self {
            sources,
            rates: sources.iter().map(|_| Default::default()).collect(),
            draws,
            drawn: None,
            line_every: time_between_lines(line_every, draws),
            last_line: None,
        }
    }

    fn update(&mut self) {
        // there is nothing to say before the plan is made
        if self.sources.iter().all(|(_, metrics)| metrics.planned_ms.get() == 0) {
            return;
        }
        let now = Instant::now();
        let last_line = *self.last_line.get_or_insert(now);
        let is_line_due = self.line_every.is_some_and(|every| now - last_line >= every);
        if !self.draws && !is_line_due {
            return;
        }
        let views = self.views(now);
        if self.draws {
            self.draw(&views);
        }
        if is_line_due {
            self.last_line = Some(now);
            for (view, (source, _)) in views.iter().zip(self.sources) {
                let text = view::sentence(view);
                telemetry::run_span(*source).in_scope(|| tracing::info!("progress: {text}"));
            }
        }
    }

    fn draw(&mut self, views: &[SourceView]) {
        let drawn = self.drawn.get_or_insert_with(|| {
            let span = tracing::info_span!(PROGRESS_BAR_SPAN);
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                span.pb_set_style(&style);
            }
            span.pb_start();
            span
        });
        let (_, columns) = Term::stderr().size();
        // some terminals wrap a line that is full
        let columns = usize::from(columns).saturating_sub(1);
        drawn.pb_set_message(&view::lines(views, columns).join("\n"));
    }

    fn views(&mut self, now: Instant) -> Vec<SourceView> {
        let of_source =
            |((source, metrics), (rate, of_datasets)): (&Source, &mut (Rate, Vec<Rate>))| {
                let metrics: MetricsSnapshot = metrics.snapshot();
                of_datasets.resize_with(metrics.datasets.len(), Rate::default);
                let of_datasets = of_datasets.iter_mut().zip(metrics.datasets.values());
                SourceView {
                    name: source.map(str::to_owned),
                    rows_per_s: rate.measure(now, metrics.rows),
                    datasets_rows_per_s: of_datasets
                        .map(|(rate, dataset)| rate.measure(now, dataset.rows))
                        .collect(),
                    metrics,
                }
            };
        self.sources.iter().zip(&mut self.rates).map(of_source).collect()
    }
}

/// How fast a count has grown lately.
#[derive(Debug, Default)]
struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// The growth a second. `None` if the count is not known for long enough.
    fn measure(&mut self, now: Instant, count: u64) -> Option<f64> {
        self.0.push_back((now, count));
        while self.0.get(1).is_some_and(|(at, _)| now - *at >= RATE_TIME) {
            self.0.pop_front();
        }
        let (since, before) = *self.0.front()?;
        let elapsed = now - since;
        (elapsed >= TELLING_RATE_TIME)
            .then(|| count.saturating_sub(before) as f64 / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_is_drawn_for_people_on_a_terminal_and_is_lines_elsewhere() {
        let settings = |format, quiet| LogSettings { filter: None, format, quiet };
        let text = settings(LogFormat::Text, false);
        assert!(draws(&text, true) && !draws(&text, false));
        assert!(!draws(&settings(LogFormat::Text, true), true), "-q");
        assert!(!draws(&settings(LogFormat::Json, false), true), "lines for programs");
        assert_eq!(time_between_lines(None, true), None);
        assert_eq!(time_between_lines(None, false), Some(LINE_EVERY));
        let minute = Some(Duration::from_secs(60));
        for draws in [true, false] {
            assert_eq!(time_between_lines(minute, draws), minute);
            assert_eq!(time_between_lines(Some(Duration::ZERO), draws), None);
        }
    }

    #[test]
    fn a_rate_is_that_of_the_last_half_minute() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let mut at = |seconds, count| rate.measure(start + Duration::from_secs(seconds), count);
        assert_eq!(at(0, 0), None);
        assert_eq!(at(10, 1_000), Some(100.0));
        assert_eq!(at(20, 1_000), Some(50.0));
        assert_eq!(at(50, 1_300), Some(10.0), "what is older does not count");
    }
}
