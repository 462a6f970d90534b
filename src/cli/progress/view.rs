//! What a run shows of itself, as text: a function of its metrics and of the width of the terminal.

use std::time::Duration;

use indicatif::HumanCount;

use crate::telemetry::metrics::{DatasetMetricsSnapshot, LimitUse, MetricsSnapshot};

/// The bar is as wide as the line leaves, within these bounds.
const BAR_WIDTH: (usize, usize) = (10, 40);
/// The most lines below the job's.
const MOST_LINES: usize = 12;
/// What separates two parts of a line.
const SEPARATOR: &str = "  ";

/// One source of a run.
#[derive(Debug, Clone)]
pub(super) struct SourceView {
    /// The name of the source. `None` if it is the only one and has no name.
    pub name: Option<String>,
    pub metrics: MetricsSnapshot,
    /// Rows received a second, lately. `None` if that is not known yet.
    pub rows_per_s: Option<f64>,
    /// The same for each dataset of `metrics`, in its order.
    pub datasets_rows_per_s: Vec<Option<f64>>,
}

/// A part of a line, and how much it is worth: parts of a higher number are left out first.
struct Part(u8, String);

/// The lines for a terminal with this many columns: the job's, and one for each source or, if there
/// is only one source, for each dataset. No line is wider than the terminal.
pub(super) fn lines(sources: &[SourceView], columns: usize) -> Vec<String> {
    let mut lines = vec![job_line(sources, columns)];
    match sources {
        [source] => {
            let rates = source.datasets_rows_per_s.iter();
            for ((name, dataset), rate) in source.metrics.datasets.iter().zip(rates) {
                lines.push(dataset_line(name, dataset, *rate, columns));
            }
        }
        sources => lines.extend(sources.iter().map(|source| source_line(source, columns))),
    }
    if let Some(more) = lines.len().checked_sub(MOST_LINES + 1).filter(|&more| more > 0) {
        lines.truncate(MOST_LINES);
        lines.push(cut(&format!("  and {} more", more + 1), columns));
    }
    lines
}

/// A line about a source for a log: everything, in words.
pub(super) fn sentence(source: &SourceView) -> String {
    let metrics = &source.metrics;
    let mut parts = vec![
        format!("{} %", percent(metrics.share)),
        format!("{} of {} shards", count(metrics.shards_done), count(metrics.shards_planned)),
        format!("{} rows", count(metrics.rows)),
    ];
    parts.extend(source.rows_per_s.map(rate));
    parts.extend(metrics.limits.first().map(|limit| {
        let LimitUse { used, limit, per_s, .. } = limit;
        format!("{} of {} requests in {per_s} s", count(*used), count(*limit))
    }));
    parts.extend(time_left(metrics));
    parts.push(metrics.words.clone());
    parts.join(", ")
}

fn job_line(sources: &[SourceView], columns: usize) -> String {
    let total = |of: fn(&MetricsSnapshot) -> u64| -> u64 {
        sources.iter().map(|source| of(&source.metrics)).sum()
    };
    let share = job_share(sources);
    let mut parts = vec![Part(0, format!("{:>3}%", percent(share)))];
    // the job takes as long as the slowest of its sources, if that is known of all
    let left: Option<Vec<f64>> = sources.iter().map(|source| source.metrics.eta_s).collect();
    let left = left.and_then(|left| left.into_iter().reduce(f64::max));
    parts.extend(left.filter(|_| share < 1.0).map(|seconds| Part(1, left_text(seconds))));
    let rates: Vec<f64> = sources.iter().filter_map(|source| source.rows_per_s).collect();
    parts.push(Part(5, shards(total(|metrics| metrics.shards_done), total(|m| m.shards_planned))));
    parts.push(Part(4, rows(total(|metrics| metrics.rows))));
    if !rates.is_empty() {
        parts.push(Part(6, rate(rates.iter().sum())));
    }
    if let [source] = sources {
        parts.extend(quota(&source.metrics).map(|text| Part(3, text)));
        parts.push(Part(2, source.metrics.words.clone()));
    }
    let text = fit(parts, columns.saturating_sub(BAR_WIDTH.0 + SEPARATOR.len()));
    let room = columns.saturating_sub(width(&text) + SEPARATOR.len());
    let bar_width = room.min(BAR_WIDTH.1);
    if bar_width < BAR_WIDTH.0.min(columns) {
        return cut(&text, columns);
    }
    format!("{}{SEPARATOR}{text}", bar(share, bar_width))
}

fn source_line(source: &SourceView, columns: usize) -> String {
    let metrics = &source.metrics;
    let mut parts = vec![
        Part(0, format!("  {}", source.name.as_deref().unwrap_or_default())),
        Part(2, shards(metrics.shards_done, metrics.shards_planned)),
        Part(3, rows(metrics.rows)),
    ];
    parts.extend(source.rows_per_s.map(|rows| Part(6, rate(rows))));
    parts.extend(quota(metrics).map(|text| Part(5, text)));
    parts.extend(time_left(metrics).map(|text| Part(4, text)));
    parts.push(Part(1, metrics.words.clone()));
    fit(parts, columns)
}

fn dataset_line(
    name: &str,
    dataset: &DatasetMetricsSnapshot,
    rows_per_s: Option<f64>,
    columns: usize,
) -> String {
    let mut parts = vec![
        Part(0, format!("  {name}")),
        Part(2, shards(dataset.shards_done, dataset.shards_planned)),
        Part(3, rows(dataset.rows)),
    ];
    if dataset.shards_failed > 0 {
        parts.push(Part(2, format!("{} failed", count(dataset.shards_failed))));
    }
    parts.extend(rows_per_s.map(|rows| Part(4, rate(rows))));
    parts.push(Part(1, dataset.words.clone()));
    fit(parts, columns)
}

/// The part of the whole job that is done, by the shards of its sources: sources may differ in
/// size.
fn job_share(sources: &[SourceView]) -> f64 {
    let weight = |source: &SourceView| source.metrics.shards_planned as f64;
    let planned: f64 = sources.iter().map(weight).sum();
    if planned == 0.0 {
        return 0.0;
    }
    sources.iter().map(|source| source.metrics.share * weight(source)).sum::<f64>() / planned
}

/// Joins the parts that fit, the most important ones, in their order.
fn fit(mut parts: Vec<Part>, columns: usize) -> String {
    loop {
        let texts: Vec<&str> = parts.iter().map(|Part(_, text)| text.as_str()).collect();
        let line = texts.join(SEPARATOR);
        let least = parts.iter().enumerate().max_by_key(|(_, Part(worth, _))| *worth);
        match least {
            Some((place, _)) if width(&line) > columns && parts.len() > 1 => {
                parts.remove(place);
            }
            _ => return cut(&line, columns),
        }
    }
}

fn bar(share: f64, columns: usize) -> String {
    let full = ((share.clamp(0.0, 1.0) * columns as f64) as usize).min(columns);
    format!("{}{}", "█".repeat(full), "░".repeat(columns - full))
}

/// The percentage, which is 100 only at the end.
fn percent(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * 100.0) as u64
}

fn shards(done: u64, planned: u64) -> String {
    format!("{}/{} shards", count(done), count(planned))
}

fn rows(rows: u64) -> String {
    format!("{} rows", count(rows))
}

fn rate(rows_per_s: f64) -> String {
    format!("{} rows/s", count(rows_per_s.round() as u64))
}

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// The quota in use: that of all requests, which comes first.
fn quota(metrics: &MetricsSnapshot) -> Option<String> {
    let LimitUse { used, limit, .. } = metrics.limits.first()?;
    Some(format!("quota {}/{}", count(*used), count(*limit)))
}

/// `None` if it is not known, or if nothing is left.
fn time_left(metrics: &MetricsSnapshot) -> Option<String> {
    metrics.eta_s.filter(|_| metrics.share < 1.0).map(left_text)
}

/// A time in the two largest of its units, and never as nothing.
fn left_text(seconds: f64) -> String {
    // a year is more than any plan that is worth waiting for
    let left = Duration::try_from_secs_f64(seconds.clamp(1.0, 3.2e7)).unwrap_or_default();
    let seconds = left.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s left"),
        (0, 0, minutes) if minutes < 10 => format!("{minutes} min {} s left", seconds % 60),
        (0, 0, minutes) => format!("{minutes} min left"),
        (0, hours, _) => format!("{hours} h {} min left", minutes % 60),
        (days, _, _) => format!("{days} d {} h left", hours % 24),
    }
}

fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

fn cut(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dataset(words: &str) -> DatasetMetricsSnapshot {
        DatasetMetricsSnapshot {
            words: words.into(),
            rows: 12_345,
            shards_planned: 31,
            shards_done: 14,
            share: 0.45,
            ..DatasetMetricsSnapshot::default()
        }
    }

    fn source(name: Option<&str>, words: &str) -> SourceView {
        let limit = LimitUse { key: "api".into(), used: 240, limit: 300, per_s: 60.0 };
        let metrics = MetricsSnapshot {
            words: words.into(),
            rows: 12_345,
            shards_planned: 62,
            shards_done: 28,
            share: 0.45,
            eta_s: Some(192.0),
            limits: vec![limit],
            datasets: [
                ("conversations".to_owned(), dataset(words)),
                ("queues".to_owned(), dataset("done")),
            ]
            .into(),
            ..MetricsSnapshot::default()
        };
        SourceView {
            name: name.map(str::to_owned),
            metrics,
            rows_per_s: Some(310.4),
            datasets_rows_per_s: vec![Some(310.4), None],
        }
    }

    #[test]
    fn sixty_columns_hold_what_matters_and_wide_terminals_everything() {
        let source = source(None, "throttled for 42 s");
        assert_eq!(
            lines(std::slice::from_ref(&source), 60),
            [
                "███████░░░░░░░░░░   45%  3 min 12 s left  throttled for 42 s",
                "  conversations  14/31 shards  throttled for 42 s",
                "  queues  14/31 shards  12,345 rows  done",
            ]
        );
        assert_eq!(
            lines(std::slice::from_ref(&source), 200),
            [
                "██████████████████░░░░░░░░░░░░░░░░░░░░░░   45%  3 min 12 s left  28/62 shards  \
                 12,345 rows  310 rows/s  quota 240/300  throttled for 42 s",
                "  conversations  14/31 shards  12,345 rows  310 rows/s  throttled for 42 s",
                "  queues  14/31 shards  12,345 rows  done",
            ]
        );
    }

    #[test]
    fn several_sources_have_a_line_each() {
        let sources = [source(Some("emea"), "fetching"), source(Some("apac"), "done")];
        assert_eq!(
            lines(&sources, 100),
            [
                "████████████████░░░░░░░░░░░░░░░░░░░░░   45%  3 min 12 s left  56/124 shards  \
                 24,690 rows  621 rows/s",
                "  emea  28/62 shards  12,345 rows  310 rows/s  quota 240/300  3 min 12 s left  fetching",
                "  apac  28/62 shards  12,345 rows  310 rows/s  quota 240/300  3 min 12 s left  done",
            ]
        );
    }

    #[test]
    fn the_time_that_is_left_is_not_told_before_it_is_known() {
        let mut source = source(None, "fetching");
        source.metrics.eta_s = None;
        source.rows_per_s = None;
        let line = &lines(std::slice::from_ref(&source), 200)[0];
        assert!(!line.contains("left") && !line.contains("rows/s"), "{line}");
        source.metrics.eta_s = Some(0.0);
        assert!(sentence(&source).contains("1 s left"));
        source.metrics.share = 1.0;
        assert!(!sentence(&source).contains("left"));
    }

    #[test]
    fn a_log_line_tells_everything_in_words() {
        assert_eq!(
            sentence(&source(None, "waiting for 3 jobs")),
            "45 %, 28 of 62 shards, 12,345 rows, 310 rows/s, 240 of 300 requests in 60 s, \
             3 min 12 s left, waiting for 3 jobs"
        );
    }

    #[test]
    fn times_have_two_units_at_most() {
        let texts = [0.2, 59.0, 61.0, 3_599.0, 3_600.0, 90_061.0].map(left_text);
        assert_eq!(
            texts,
            [
                "1 s left",
                "59 s left",
                "1 min 1 s left",
                "59 min left",
                "1 h 0 min left",
                "1 d 1 h left"
            ]
        );
    }

    #[test]
    fn many_datasets_are_summed_up() {
        let mut source = source(None, "fetching");
        source.metrics.datasets =
            (0..30).map(|number| (format!("d{number:02}"), dataset("waiting"))).collect();
        source.datasets_rows_per_s = vec![None; 30];
        let lines = lines(&[source], 80);
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert_eq!(lines.last().unwrap(), "  and 19 more");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            columns in 1usize..250,
            words in "[a-z ]{0,40}",
            name in "[a-zé]{1,80}",
            rows in any::<u64>(),
            share in 0.0f64..1.1,
        ) {
            let mut one = source(None, &words);
            (one.metrics.rows, one.metrics.share) = (rows / 4, share);
            one.metrics.datasets.insert(name.clone(), dataset(&words));
            one.datasets_rows_per_s.push(None);
            let several = [source(Some(&name), &words), one.clone()];
            for line in lines(&[one], columns).into_iter().chain(lines(&several, columns)) {
                prop_assert!(width(&line) <= columns, "{line}");
            }
        }
    }
}
