//! Long runs with many fetchers and faults throughout: nothing is lost, and nothing grows.
//!
//! `SOAK=600 cargo test --test it soak` observes a process for ten minutes in place of 24 seconds.

use std::time::Duration;

use cxbackfill::testing::{Interval, Settings};

use crate::common::{
    scenario::{Scenario, Silence},
    simulation::run_scenario,
};

const DAY_MS: i64 = 86_400_000;

#[test]
fn a_simulated_day_with_64_fetchers_and_faults_throughout_loses_nothing() {
    let quiet = Scenario::quiet(7);
    let from = quiet.interval.from_ms();
    let per = Duration::from_secs(60);
    let scenario = Scenario {
        actors: 64,
        interval: Interval::new(from, from + 280 * DAY_MS).unwrap(),
        page_size: 2,
        budget: 2,
        per,
        sandbox: Settings {
            // the faults make requests of their own, which would use up a limit this small
            requests: 0,
            per,
            conversations_per_day: 20,
            token_lifetime: Duration::from_secs(600),
            revoke_every: Duration::from_secs(3_000),
            ..quiet.sandbox.clone()
        },
        fault_rate: 0.05,
        outage: Some((500, Duration::from_secs(1_800), Silence::Refused)),
        ..quiet
    };
    let result = run_scenario(&scenario);
    let windows = result.stats.windows.len();
    assert!(windows >= 24 * 60, "only {windows} minutes had requests");
    assert_eq!((result.strays, result.violations), (Vec::new(), Vec::new()));
    assert_eq!(result.most_sent, 2, "G6");
    assert!(result.rows == result.truth, "{} of {}", result.rows.len(), result.truth.len());
    assert!(result.tally.outages > 0 && result.tally.retries > 50, "{:?}", result.tally);
}

#[cfg(target_os = "linux")]
mod process {
    use std::{fs, process::Stdio, thread::sleep, time::Duration};

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    use crate::common::binary::{Job, Sandbox};

    /// What a process holds: MiB of memory, threads, open files.
    type Held = [u64; 3];

    fn held(process: u32) -> Held {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
        [number("VmRSS:") / 1_024, number("Threads:"), files.try_into().unwrap()]
    }

    fn most(samples: &[Held]) -> Held {
        [0, 1, 2].map(|kind| samples.iter().map(|held| held[kind]).max().unwrap())
    }

    #[test]
    fn memory_threads_and_open_files_stay_flat_with_short_tokens_and_windows() {
        let seconds = std::env::var("SOAK").map_or(24, |text| text.parse().unwrap());
        let sandbox = Sandbox::start(&[
            "sandbox.requests=150",
            "sandbox.per=3s",
            "sandbox.token_lifetime=3s",
            "sandbox.revoke_every=5s",
            "sandbox.fail_every=40",
            "sandbox.throttle_every=97",
            "sandbox.conversations_per_day=40",
        ]);
        let job = Job::new(&sandbox);
        let settings = [
            "fetch.actors=64",
            "fetch.strategy=query",
            "fetch.shard=6h",
            "budget.requests=150",
            "budget.per=3s",
            "retry.attempts=12",
        ];
        let mut command = job.command("1990-01-01T00:00:00Z", "2024-01-01T00:00:00Z", &settings);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut samples = Vec::new();
        for _ in 0..seconds {
            sleep(Duration::from_secs(1));
            samples.push(held(run.id()));
        }
        kill(Pid::from_raw(run.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));

        let warm = &samples[samples.len() / 3..];
        let (first, second) = warm.split_at(warm.len() / 2);
        let ([memory, threads, files], later) = (most(first), most(second));
        println!("MiB, threads, files: {:?}, then {later:?}", most(first));
        let bounds = [memory + memory / 4 + 8, threads + 2, files + 16];
        assert!(
            (0..3).all(|kind| later[kind] <= bounds[kind]),
            "{later:?} is more than {bounds:?}: {samples:?}"
        );
    }
}
