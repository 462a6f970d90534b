//! The adaptive concurrency against links that `links/*.toml` describe: a simulation of discrete
//! events, without a clock.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use cxbackfill::testing::{ConcurrencyLimit, Outcome};
use serde::Deserialize;
use tokio::time::Instant;

/// When the concurrency must have converged, at the start and after every step.
const CONVERGED_AFTER: f64 = 60.0;
/// How long it is watched after that.
const WATCHED: f64 = 60.0;

/// A link and what is expected of it. Times are in seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkDescription {
    /// The most requests in flight that the caller wants.
    most: u32,
    /// How the link is, and from when on; each phase lasts until the next.
    phases: Vec<Phase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    /// Requests served at once; the others queue.
    capacity: usize,
    /// What serving one takes …
    latency: f64,
    /// … give or take up to this share of it.
    jitter: f64,
    /// With more than this in flight, the server says to slow down, at once.
    #[serde(default = "u32::max_value")]
    throttle_above: u32,
    /// The mean concurrency once it has converged lies between these.
    expected: (f64, f64),
}

/// Requests on a link: those that have a server until then, and who waits for one.
struct LinkSimulation {
    /// When each request will be answered, in nanoseconds, and a number that tells two apart → when it
    /// was sent, and what comes of it.
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

/// The mean concurrency of each phase once it has converged.
fn run_scenario(link: &LinkDescription) -> Vec<f64> {
    let epoch = Instant::now();
    let mut pace = ConcurrencyLimit::new(link.most);
    let mut wire = LinkSimulation {
        events: BTreeMap::new(),
        free: Vec::new(),
        rng: fastrand::Rng::with_seed(5),
        sent: 0,
    };
    let mut now = Duration::ZERO;
    let mut means = Vec::new();
    for (number, phase) in link.phases.iter().enumerate() {
        let start = number as f64 * (CONVERGED_AFTER + WATCHED);
        let (mut area, mut watched, end) = (0.0, 0.0, start + CONVERGED_AFTER + WATCHED);
        while now.as_secs_f64() < end {
            while pace.admits(u32::try_from(wire.events.len()).unwrap()) {
                wire.send(now, phase);
            }
            let ((at, _), (sent, outcome)) = wire.events.pop_first().unwrap();
            let at = Duration::from_nanos(at);
            if now.as_secs_f64() >= start + CONVERGED_AFTER {
                area += f64::from(pace.limit()) * (at - now).as_secs_f64();
                watched += (at - now).as_secs_f64();
            }
            now = at;
            pace.ended(epoch + sent, epoch + at, outcome);
        }
        means.push(area / watched);
    }
    means
}

#[test]
fn on_every_link_the_concurrency_converges_within_a_minute() {
    let mut played = 0;
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
        played += 1;
    }
    assert!(played >= 6, "{played} links");
}
