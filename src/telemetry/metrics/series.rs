//! The course of a run in at most a thousand samples.

use crate::telemetry::metrics::Sample;

/// The most samples of a run. Once there are so many, two become one (G8).
const MOST_SAMPLES: usize = 1_000;

/// The samples of a run, the oldest first.
#[derive(Debug)]
pub(super) struct SampleSeries {
    samples: Vec<Sample>,
    /// The least length of a sample in seconds, but of the last one.
    width_s: f64,
    /// How often two samples became one.
    halvings: u32,
}

impl Default for SampleSeries {
    fn default() -> Self {
        Self { samples: Vec::new(), width_s: 1.0, halvings: 0 }
    }
}

impl SampleSeries {
    /// Adds what happened since the last call.
    pub(super) fn add(&mut self, sample: Sample) {
        match self.samples.last_mut() {
            // half a width of tolerance: ticks come a little early or late
            Some(last) if last.seconds + sample.seconds / 2.0 < self.width_s => {
                last.append(&sample);
            }
            _ => self.samples.push(sample),
        }
        if self.samples.len() > MOST_SAMPLES {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let pairs = self.samples.chunks(2).map(|pair| {
            let mut sample = pair[0].clone();
            pair[1..].iter().for_each(|next| sample.append(next));
            sample
        });
        self.samples = pairs.collect();
        self.width_s *= 2.0;
        self.halvings += 1;
    }

    pub(super) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// How often two samples became one: then all samples are new.
    pub(super) fn halvings(&self) -> u32 {
        self.halvings
    }
}

impl Sample {
    /// Adds the part of the run that follows. Of two medians the mean by requests is kept, and of
    /// the other percentiles the larger: the durations themselves are not there any more.
    fn append(&mut self, next: &Self) {
        let [own, others] = [self, next].map(|sample| sample.requests as f64);
        self.latency_p50_ms = match (self.latency_p50_ms, next.latency_p50_ms) {
            (Some(a), Some(b)) if own + others > 0.0 => {
                Some((a * own + b * others) / (own + others))
            }
            (a, b) => a.or(b),
        };
        self.latency_p95_ms =
            self.latency_p95_ms.into_iter().chain(next.latency_p95_ms).reduce(f64::max);
        self.seconds += next.seconds;
        self.rows += next.rows;
        self.requests += next.requests;
        self.retries += next.retries;
        self.rate_limited += next.rate_limited;
        self.memory_bytes = self.memory_bytes.max(next.memory_bytes);
        self.used = self.used.max(next.used);
        self.limit = next.limit.or(self.limit);
        self.window_s = next.window_s.or(self.window_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: usize) -> Sample {
        Sample {
            at: number.to_string(),
            seconds: 1.0,
            rows: 2,
            requests: 1,
            latency_p50_ms: Some(number as f64),
            latency_p95_ms: Some(10.0 * number as f64),
            memory_bytes: number as u64,
            ..Sample::default()
        }
    }

    #[test]
    fn g8_a_long_run_has_at_most_a_thousand_samples_and_loses_no_count() {
        let mut series = SampleSeries::default();
        for number in 0..100_000 {
            series.add(second(number));
            assert!(series.samples().len() <= MOST_SAMPLES);
        }
        assert_eq!(series.halvings(), 7, "each time all samples are recorded anew");
        let samples = series.samples();
        assert!(samples.len() >= MOST_SAMPLES / 2, "{}", samples.len());
        assert_eq!(samples.iter().map(|sample| sample.rows).sum::<u64>(), 200_000);
        assert_eq!(samples.iter().map(|sample| sample.seconds).sum::<f64>(), 100_000.0);
        let widths: Vec<_> = samples.iter().map(|sample| sample.seconds).collect();
        assert!(widths[..widths.len() - 1].iter().all(|width| *width == 128.0), "{widths:?}");
    }

    #[test]
    fn samples_that_become_one_keep_the_largest_values_and_the_mean_of_medians() {
        let mut sample = second(1);
        sample.append(&Sample { requests: 3, ..second(5) });
        assert_eq!((sample.at.as_str(), sample.latency_p50_ms), ("1", Some(4.0)));
        assert_eq!((sample.latency_p95_ms, sample.memory_bytes), (Some(50.0), 5));
    }
}
