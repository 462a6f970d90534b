//! The metrics of runs in the text format of Prometheus, version 0.0.4.
//!
//! [`FAMILIES`] is the one list of names, types and meanings; the README has a table of it.

use std::{fmt::Write as _, sync::Arc};

use crate::{
    system::process,
    telemetry::metrics::{DatasetMetrics, Metrics},
};

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family of samples.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: fn(&Run<'_>, &mut Samples<'_>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A run, and the name of its source. `None` if it is the only one and has no name.
pub(crate) struct Run<'r> {
    pub source: Option<&'r str>,
    pub metrics: &'r Metrics,
}

/// Where the samples of a family are written.
struct Samples<'t> {
    text: &'t mut String,
    name: &'static str,
    source: Option<&'t str>,
}

/// All families of a run. What all sources share comes first in [`text`].
const FAMILIES: [Family; 18] = [
    Family {
        name: "cxbackfill_requests_total",
        kind: Kind::Counter,
        help: "API requests that ended, by dataset and class of the status (none: no response).",
        samples: |run, samples| {
            for dataset in all_datasets(run.metrics) {
                for (status, count) in dataset.answers() {
                    samples.add(
                        "",
                        &[("dataset", &dataset.name), ("status", status)],
                        count as f64,
                    );
                }
            }
        },
    },
    Family {
        name: "cxbackfill_requests_in_flight",
        kind: Kind::Gauge,
        help: "API requests that are sent and not answered.",
        samples: |run, samples| samples.add("", &[], run.metrics.in_flight.get() as f64),
    },
    Family {
        name: "cxbackfill_request_duration_seconds",
        kind: Kind::Histogram,
        help: "Time from an API request to its response.",
        samples: |run, samples| {
            let (buckets, count, sum) = run.metrics.latency();
            for (bound, up_to) in buckets {
                samples.add("_bucket", &[("le", &bound.to_string())], up_to as f64);
            }
            samples.add("_bucket", &[("le", "+Inf")], count as f64);
            samples.add("_sum", &[], sum);
            samples.add("_count", &[], count as f64);
        },
    },
    Family {
        name: "cxbackfill_retries_total",
        kind: Kind::Counter,
        help: "API requests that were sent again, by what was wrong with the attempt before.",
        samples: |run, samples| {
            for (reason, count) in run.metrics.retry_reasons() {
                samples.add("", &[("reason", reason)], count as f64);
            }
        },
    },
    Family {
        name: "cxbackfill_throttled_responses_total",
        kind: Kind::Counter,
        help: "Responses that asked the program to slow down.",
        samples: |run, samples| samples.add("", &[], run.metrics.rate_limited.get() as f64),
    },
    Family {
        name: "cxbackfill_pause_seconds",
        kind: Kind::Gauge,
        help: "Seconds that are left of the pause of all requests that the server demanded.",
        samples: |run, samples| {
            let left = run.metrics.throttled_for().unwrap_or_default();
            samples.add("", &[], left.as_secs_f64());
        },
    },
    Family {
        name: "cxbackfill_rate_limit_requests",
        kind: Kind::Gauge,
        help: "Requests that the window of a rate limit allows this program, by bucket.",
        samples: |run, samples| {
            for limit in run.metrics.limits() {
                samples.add("", &[("bucket", &limit.key)], limit.limit as f64);
            }
        },
    },
    Family {
        name: "cxbackfill_rate_limit_used_requests",
        kind: Kind::Gauge,
        help: "Requests in the present window of a rate limit, by bucket.",
        samples: |run, samples| {
            for limit in run.metrics.limits() {
                samples.add("", &[("bucket", &limit.key)], limit.used as f64);
            }
        },
    },
    Family {
        name: "cxbackfill_rate_limit_window_seconds",
        kind: Kind::Gauge,
        help: "The length of the window of a rate limit, by bucket.",
        samples: |run, samples| {
            for limit in run.metrics.limits() {
                samples.add("", &[("bucket", &limit.key)], limit.per_s);
            }
        },
    },
    Family {
        name: "cxbackfill_token_requests_total",
        kind: Kind::Counter,
        help: "Token requests sent.",
        samples: |run, samples| samples.add("", &[], run.metrics.token_requests.get() as f64),
    },
    Family {
        name: "cxbackfill_token_expiry_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the token expires, in seconds since 1970. Absent if that is not known.",
        samples: |run, samples| {
            if let Some(expires) = run.metrics.token_expiry() {
                samples.add("", &[], expires.as_second() as f64);
            }
        },
    },
    Family {
        name: "cxbackfill_received_rows_total",
        kind: Kind::Counter,
        help: "Rows received, those of attempts that failed included, by dataset.",
        samples: |run, samples| {
            for dataset in run.metrics.datasets() {
                samples.add("", &[("dataset", &dataset.name)], dataset.rows.get() as f64);
            }
        },
    },
    Family {
        name: "cxbackfill_received_bytes_total",
        kind: Kind::Counter,
        help: "Bytes of response bodies, decompressed.",
        samples: |run, samples| samples.add("", &[], run.metrics.bytes_received.get() as f64),
    },
    Family {
        name: "cxbackfill_shards",
        kind: Kind::Gauge,
        help: "Shards by dataset and state: waiting, fetching, committed, failed.",
        samples: |run, samples| {
            for dataset in run.metrics.datasets() {
                let fetching = dataset.active_shards() as u64;
                let (done, failed) = (dataset.shards_done.get(), dataset.shards_failed.get());
                let waiting = dataset.shards_planned.get().saturating_sub(done + fetching);
                for (state, count) in [
                    ("waiting", waiting),
                    ("fetching", fetching),
                    ("committed", done.saturating_sub(failed)),
                    ("failed", failed),
                ] {
                    let labels = [("dataset", &*dataset.name), ("state", state)];
                    samples.add("", &labels, count as f64);
                }
            }
        },
    },
    Family {
        name: "cxbackfill_split_shards_total",
        kind: Kind::Counter,
        help: "Shards that were bisected.",
        samples: |run, samples| samples.add("", &[], run.metrics.shards_split.get() as f64),
    },
    Family {
        name: "cxbackfill_progress_ratio",
        kind: Kind::Gauge,
        help: "The part of the planned time that is committed or failed, by dataset; less than 1 \
               at the end of the run if the dataset was given up.",
        samples: |run, samples| {
            for dataset in run.metrics.datasets() {
                samples.add("", &[("dataset", &dataset.name)], dataset.share());
            }
        },
    },
    Family {
        name: "cxbackfill_remaining_seconds",
        kind: Kind::Gauge,
        help: "Seconds that the rest is expected to take. Absent if that is not known yet.",
        samples: |run, samples| {
            if let Some(seconds) = run.metrics.snapshot().eta_s {
                samples.add("", &[], seconds);
            }
        },
    },
    Family {
        name: "cxbackfill_active_waits",
        kind: Kind::Gauge,
        help: "Fetchers that wait, by what for: job, retry, outage, token.",
        samples: |run, samples| {
            for (what, count) in run.metrics.active_waits() {
                samples.add("", &[("for", what)], count as f64);
            }
        },
    },
];

/// The metrics of all runs of this process.
pub(crate) fn text(runs: &[Run<'_>]) -> String {
    let mut text = String::new();
    let version = env!("CARGO_PKG_VERSION");
    header(&mut text, "cxbackfill_build_info", Kind::Gauge, "1, with the version of the program.");
    let mut build = Samples { text: &mut text, name: "cxbackfill_build_info", source: None };
    build.add("", &[("version", version)], 1.0);
    let memory = "process_resident_memory_bytes";
    header(&mut text, memory, Kind::Gauge, "Memory of the process; 0 where it is not known.");
    let mut resident = Samples { text: &mut text, name: memory, source: None };
    resident.add("", &[], process::resident_bytes() as f64);
    for family in &FAMILIES {
        header(&mut text, family.name, family.kind, family.help);
        for run in runs {
            let mut samples = Samples { text: &mut text, name: family.name, source: run.source };
            (family.samples)(run, &mut samples);
        }
    }
    text
}

fn header(text: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

impl Samples<'_> {
    /// Adds a sample, whose name has this suffix.
    fn add(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let source = self.source.map(|source| ("source", source));
        let labels: Vec<_> = source
            .into_iter()
            .chain(labels.iter().copied())
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let name = self.name;
        let _ = match labels.is_empty() {
            true => writeln!(self.text, "{name}{suffix} {value}"),
            false => writeln!(self.text, "{name}{suffix}{{{}}} {value}", labels.join(",")),
        };
    }
}

/// All datasets, and last what belongs to none.
fn all_datasets(metrics: &Metrics) -> Vec<Arc<DatasetMetrics>> {
    let mut datasets = metrics.datasets();
    datasets.push(Arc::clone(&metrics.others));
    datasets
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{telemetry::metrics::GivenUp, time::interval::Interval};

    #[test]
    fn every_name_follows_the_conventions_and_is_in_the_readme() {
        let readme = include_str!("../../../README.md");
        for family in &FAMILIES {
            let name = family.name;
            assert!(name.starts_with("cxbackfill_"), "{name}");
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            assert!(family.help.ends_with('.'), "{name}");
            assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README");
        }
    }

    #[test]
    fn the_progress_of_a_dataset_that_is_given_up_agrees_with_its_shards() {
        let metrics = Metrics::default();
        let day = |number: i64| Interval::day_of(number * 86_400_000);
        metrics.plan((0..4).map(|number| ("calls", day(number))), None);
        metrics.settle("calls", day(0));
        metrics.give_up("calls", GivenUp::Failing);
        // a shard that another fetcher was at
        metrics.settle("calls", day(1));
        let text = text(&[Run { source: None, metrics: &metrics }]);
        for line in [
            "cxbackfill_progress_ratio{dataset=\"calls\"} 0.5\n",
            "cxbackfill_shards{dataset=\"calls\",state=\"waiting\"} 2\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn the_value_of_a_label_is_escaped_and_the_source_comes_first() {
        let metrics = Metrics::default();
        metrics.receive_rows("a\"b\\c\nd", 3);
        let text = text(&[Run { source: Some("emea"), metrics: &metrics }]);
        let line =
            "cxbackfill_received_rows_total{source=\"emea\",dataset=\"a\\\"b\\\\c\\nd\"} 3\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("cxbackfill_requests_in_flight{source=\"emea\"} 0\n"), "{text}");
    }
}
