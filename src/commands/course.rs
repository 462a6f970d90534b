//! Records the course of a run in its ledger while it goes on, so that other processes can show it.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    ledger::{Ledger, LedgerError, NewSamples},
    system::blocking::offload,
    telemetry::metrics::Metrics,
};

/// The time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Samples between two records.
const RECORD_EVERY: u32 = 5;

/// What of the course of a run is recorded.
struct Recorder<'r> {
    run_id: i64,
    ledger: &'r Ledger,
    metrics: &'r Metrics,
    /// Samples that are recorded, and how often two had become one then.
    recorded: (usize, u32),
}

/// Awaits `run` and records its course every few seconds, and at its end. A ledger that cannot be
/// written ends the run by itself, so errors are left out here.
pub(super) async fn record_during<T>(
    run_id: i64,
    ledger: &Ledger,
    metrics: &Metrics,
    run: impl Future<Output = T>,
) -> T {
    let mut recorder = Recorder { run_id, ledger, metrics, recorded: (0, 0) };
    let mut run = pin!(run);
    let mut ticks = interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        tokio::select! {
            biased;
            ended = &mut run => {
                metrics.sample();
                let _ = recorder.record().await;
                return ended;
            }
            _ = ticks.tick() => {}
        }
        metrics.sample();
        if number % RECORD_EVERY == 0 {
            let _ = recorder.record().await;
        }
        number += 1;
    }
}

impl Recorder<'_> {
    async fn record(&mut self) -> Result<(), LedgerError> {
        let state = serde_json::to_string(&self.metrics.snapshot()).unwrap_or_default();
        let (samples, halvings) = self.metrics.samples();
        let (count, halvings_then) = self.recorded;
        let replace_all = halvings != halvings_then;
        // the last recorded sample may have grown since
        let first = if replace_all { 0 } else { count.saturating_sub(1) };
        self.recorded = (samples.len(), halvings);
        let (ledger, run_id) = (self.ledger.clone(), self.run_id);
        offload(move || {
            let new = NewSamples { replace_all, samples: &samples[first.min(samples.len())..] };
            ledger.record_course(run_id, &state, &new)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::interval::Interval;

    #[tokio::test]
    async fn the_course_of_a_run_is_recorded_while_it_goes_on_and_at_its_end() {
        let (ledger, metrics) = (Ledger::in_memory().unwrap(), Metrics::default());
        let run_id = ledger.begin_run(Interval::new(0, 1).unwrap(), 0).unwrap();
        let state = || ledger.runs().unwrap()[0].state.clone().unwrap_or_default();
        let run = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let early = state();
            metrics.rows.add(5);
            early
        };
        let early = record_during(run_id, &ledger, &metrics, run).await;
        assert!(early.contains(r#""rows":0"#), "{early}");
        assert!(state().contains(r#""rows":5"#), "{}", state());
    }
}
