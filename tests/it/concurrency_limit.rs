//! The adaptive concurrency limit on the links of `links/*.toml`: a discrete event simulation
//! without a clock.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use cxbackfill::testing::{ConcurrencyLimit, Outcome};
use serde::Deserialize;
use tokio::time::Instant;

/// Seconds until the limit must have converged, at the start and after every change.
const CONVERGED_AFTER: f64 = 60.0;
/// Seconds for which it is measured after that.
const MEASURED: f64 = 60.0;

/// A link and the expected limit. Times are in seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkDescription {
    /// The largest number of requests in flight.
    most: u32,
    /// The phases of the link, one after the other.
    phases: Vec<Phase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    /// The number of requests that are served at once; the others queue.
    capacity: usize,
    /// The time to serve a request …
    latency: f64,
    /// … plus or minus up to this share of it.
    jitter: f64,
    /// With more requests in flight than this, the server throttles immediately.
    #[serde(default = "u32::max_value")]
    throttle_above: u32,
    /// The range of the mean limit after it has converged.
    expected: (f64, f64),
}

/// The requests on a link.
struct LinkSimulation {
    /// By time of the reply in nanoseconds and number of the request: when it was sent, and its
    /// outcome.
    events: BTreeMap<(u64, u64), (Duration, Outcome)>,
    /// When each server is free again.
    free: Vec<Duration>,
    rng: fastrand::Rng,
    sent: u64,
}

impl LinkSimulation {
    fn send(&mut self, now: Duration, phase: &Phase) {
        self.free.resize(phase.capacity, now);
        self.sent += 1;
        let (at, outcome) = if self.events.len() >= phase.throttle_above as usize {
            (now + Duration::from_millis(10), Outcome::Throttled)
        } else {
            let server = self.free.iter_mut().min().unwrap();
            let jitter = phase.jitter * (2.0 * self.rng.f64() - 1.0);
            *server = (*server).max(now) + Duration::from_secs_f64(phase.latency * (1.0 + jitter));
            (*server, Outcome::Answered)
        };
        let at = u64::try_from(at.as_nanos()).unwrap();
        self.events.insert((at, self.sent), (now, outcome));
    }
}

/// The mean limit of each phase after it has converged.
fn run_scenario(link: &LinkDescription) -> Vec<f64> {
    let epoch = Instant::now();
    let mut limit = ConcurrencyLimit::new(link.most);
    let mut simulation = LinkSimulation {
        events: BTreeMap::new(),
        free: Vec::new(),
        rng: fastrand::Rng::with_seed(5),
        sent: 0,
    };
    let mut now = Duration::ZERO;
    let mut means = Vec::new();
    for (number, phase) in link.phases.iter().enumerate() {
        let start = number as f64 * (CONVERGED_AFTER + MEASURED);
        let (mut area, mut measured, end) = (0.0, 0.0, start + CONVERGED_AFTER + MEASURED);
        while now.as_secs_f64() < end {
            while limit.admits(u32::try_from(simulation.events.len()).unwrap()) {
                simulation.send(now, phase);
            }
            let ((at, _), (sent, outcome)) = simulation.events.pop_first().unwrap();
            let at = Duration::from_nanos(at);
            if now.as_secs_f64() >= start + CONVERGED_AFTER {
                area += f64::from(limit.limit()) * (at - now).as_secs_f64();
                measured += (at - now).as_secs_f64();
            }
            now = at;
            limit.ended(epoch + sent, epoch + at, outcome);
        }
        means.push(area / measured);
    }
    means
}

#[test]
fn on_every_link_the_concurrency_converges_within_a_minute() {
    let mut links = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/links")).unwrap() {
        let path = entry.unwrap().path();
        let link: LinkDescription = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let means = run_scenario(&link);
        for (mean, Phase { expected: (least, most), .. }) in means.iter().zip(&link.phases) {
            assert!(
                (least..=most).contains(&mean),
                "{}: {means:.1?}, expected {least} to {most}",
                path.display()
            );
        }
        links += 1;
    }
    assert!(links >= 6, "{links} links");
}
