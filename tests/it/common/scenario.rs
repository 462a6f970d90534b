//! A scenario of the simulation: platform, configuration and faults, drawn from a seed.

use std::ops::Range;

use cxbackfill::testing::{Config, Interval, JobSettings, Settings};
use jiff::Timestamp;
use tokio::time::Duration;

use super::environment::config;

/// How a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its future is dropped, as by a kill.
    Kill,
    /// It is asked to end, as by an interrupt.
    Interrupt,
}

/// How requests fail while the platform is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The connection is refused.
    Refused,
    /// Nothing answers in time.
    TimeOut,
    /// Something in front of the platform answers with this status.
    Status(u16),
}

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub actors: usize,
    pub interval: Interval,
    pub shard: Duration,
    /// Whether `fetch.shard` is `auto` instead, and whether that changes from run to run.
    pub auto_width: bool,
    pub changes_width: bool,
    pub page_size: u32,
    pub budget: u32,
    /// `budget.per`.
    pub per: Duration,
    pub strategy: &'static str,
    pub ahead: usize,
    pub jobs: usize,
    pub attributes: bool,
    pub sandbox: Settings,
    /// The probability that a request gets a fault, from 0 to 1.
    pub fault_rate: f64,
    /// Whether replies have no rate-limit headers.
    pub hidden_headers: bool,
    /// The additional latency of token requests.
    pub slow_login: Duration,
    pub commit_every: Duration,
    pub newest_first: bool,
    /// Whether the job is refreshed after all rows have changed.
    pub refresh: bool,
    /// The steps (of requests and commits) at which the program is stopped, run by run.
    pub stops: Vec<(u64, Stop)>,
    /// Whether runs are stopped only during the refresh.
    pub stops_in_refresh: bool,
    /// After so many requests of a run the platform is silent for a while: how long, and how its
    /// requests fail.
    pub outage: Option<(u64, Duration, Silence)>,
    /// A time whose requests fail until the faults are cleared.
    pub poison: Option<i64>,
    /// Requests for longer intervals are answered with 504.
    pub widest: Option<Duration>,
    /// The rows whose ids end so cannot be decoded until the faults are cleared.
    pub undecodable: Option<char>,
    /// Whether a later run fetches the days with open rows again.
    pub follows_open: bool,
    /// Whether all requests for data are rejected until the faults are cleared.
    pub rejects_all: bool,
    /// `retry.give_up_dataset_after`.
    pub give_up_after: u32,
    /// Whether failed shards are retried by a plain run, and not by `--retry-failed`.
    pub plain_retry: bool,
    /// `output.layout`.
    pub layout: &'static str,
}

impl Scenario {
    /// Three days without faults.
    pub fn quiet(seed: u64) -> Self {
        let from = 1_704_067_200_000 + i64::try_from(seed % 300).unwrap() * 86_400_000;
        Self {
            seed,
            actors: 4,
            interval: Interval::new(from, from + 3 * 86_400_000).unwrap(),
            shard: Duration::from_secs(86_400),
            auto_width: false,
            changes_width: false,
            page_size: 100,
            budget: 0,
            per: Duration::from_secs(10),
            strategy: "query",
            ahead: 4,
            jobs: 5,
            attributes: false,
            sandbox: Settings {
                seed,
                requests: 0,
                conversations_per_day: 150,
                ..Settings::default()
            },
            fault_rate: 0.0,
            hidden_headers: false,
            slow_login: Duration::ZERO,
            commit_every: Duration::from_secs(300),
            newest_first: false,
            refresh: false,
            stops: Vec::new(),
            stops_in_refresh: false,
            outage: None,
            poison: None,
            widest: None,
            undecodable: None,
            follows_open: false,
            rejects_all: false,
            give_up_after: 10,
            plain_retry: false,
            layout: "nested",
        }
    }

    /// Everything drawn from the seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let quiet = Self::quiet(seed);
        let from = quiet.interval.from_ms() + rng.i64(0..86_400_000);
        let interval = Interval::new(from, from + rng.i64(3_600_000..3 * 86_400_000)).unwrap();
        let hours = |rng: &mut fastrand::Rng, range: Range<u64>| {
            Duration::from_secs(3_600 * rng.u64(range))
        };
        let budget = if rng.bool() { 0 } else { rng.u32(20..200) };
        // sometimes pages of jobs are much larger than those of queries, so that `auto` uses jobs
        let (page_size, calls) =
            if rng.u8(..) < 30 { (1_000, 150..300) } else { (rng.u32(3..40), 5..60) };
        // a limit that changes, and foreign requests
        let attributes = rng.u8(..) < 60;
        let strategies: &[_] =
            if attributes { &["job", "auto"] } else { &["query", "job", "auto"] };
        let (changes, has_foreign_requests) =
            (budget > 0 && rng.u8(..) < 60, budget > 0 && rng.u8(..) < 60);
        Self {
            actors: rng.usize(1..9),
            interval,
            shard: hours(&mut rng, 3..60),
            page_size,
            budget,
            strategy: rng.choice(strategies).unwrap(),
            ahead: rng.usize(1..7),
            jobs: rng.usize(1..6),
            attributes,
            sandbox: Settings {
                requests: budget,
                per: Duration::from_secs(10),
                limit_changes: if changes { limit_changes(&mut rng) } else { Vec::new() },
                // of no limit do they leave nothing
                foreign_requests: match (has_foreign_requests, changes) {
                    (true, true) => rng.u32(1..budget / 2).min(15),
                    (true, false) => rng.u32(1..budget / 2),
                    (false, _) => 0,
                },
                jobs: jobs(&mut rng, page_size, interval),
                conversations_per_day: rng.u32(calls),
                token_lifetime: Duration::from_millis(rng.u64(1_000..100_000)),
                max_tokens: rng.u32(1..4),
                window_slides: rng.u8(..) < 60,
                drift: rng.u8(..) < 60,
                ..quiet.sandbox.clone()
            },
            fault_rate: *rng.choice(&[0.0, 0.02, 0.1, 0.25]).unwrap(),
            hidden_headers: rng.u8(..) < 60,
            slow_login: Duration::from_millis(if rng.u8(..) < 60 { rng.u64(1..25_000) } else { 0 }),
            commit_every: Duration::from_millis(*rng.choice(&[1, 500, 2_000, 300_000]).unwrap()),
            newest_first: rng.bool(),
            refresh: rng.u8(..) < 110,
            stops: (0..rng.usize(0..4))
                .map(|_| (rng.u64(1..90), if rng.bool() { Stop::Kill } else { Stop::Interrupt }))
                .collect(),
            stops_in_refresh: rng.bool(),
            poison: (rng.u8(..) < 80).then(|| rng.i64(interval.from_ms()..interval.to_ms())),
            widest: (rng.u8(..) < 80).then(|| hours(&mut rng, 2..24)),
            undecodable: (rng.u8(..) < 50).then(|| char::from_digit(rng.u32(0..16), 16).unwrap()),
            follows_open: rng.u8(..) < 60,
            rejects_all: rng.u8(..) < 90,
            give_up_after: rng.u32(1..4),
            plain_retry: rng.bool(),
            outage: (rng.u8(..) < 80).then(|| {
                let silences = [
                    Silence::Refused,
                    Silence::TimeOut,
                    Silence::Status(500),
                    Silence::Status(502),
                    Silence::Status(504),
                ];
                let length = Duration::from_secs(rng.u64(1..600));
                (rng.u64(1..60), length, *rng.choice(&silences).unwrap())
            }),
            layout: *rng.choice(&["nested", "nested", "tables", "both"]).unwrap(),
            auto_width: rng.bool(),
            changes_width: rng.bool(),
            ..quiet
        }
    }

    /// The rows that the output must hold, as the sandbox names them.
    pub fn truth(&self) -> &'static str {
        if self.attributes { "conversations+attributes" } else { "conversations" }
    }

    /// The limit that no window may exceed. `None` if it changes or is shared with foreign
    /// requests.
    pub fn limit(&self) -> Option<u64> {
        let Settings { requests, foreign_requests, limit_changes, .. } = &self.sandbox;
        let is_constant = *requests > 0 && *foreign_requests == 0 && limit_changes.is_empty();
        is_constant.then_some(u64::from(*requests))
    }

    pub fn config(&self) -> Config {
        let (from, to) = (self.interval.to_string(), self.interval.to_string());
        let set = [
            format!("job.from={}", from.split('/').next().unwrap()),
            format!("job.to={}", to.split('/').nth(1).unwrap()),
            format!("fetch.actors={}", self.actors),
            match self.auto_width {
                true => "fetch.shard=auto".to_owned(),
                false => format!("fetch.shard={}s", self.shard.as_secs()),
            },
            format!("fetch.page_size={}", self.page_size),
            format!("budget.requests={}", self.budget),
            format!("budget.per={}s", self.per.as_secs()),
            format!("fetch.strategy={}", self.strategy),
            format!("fetch.ahead={}", self.ahead),
            format!("fetch.jobs={}", self.jobs),
            format!("fetch.attributes={}", self.attributes),
            "retry.attempts=12".to_owned(),
            format!("retry.give_up_dataset_after={}", self.give_up_after),
            format!("output.commit_every={}ms", self.commit_every.as_millis()),
            format!(
                "job.order={}",
                if self.newest_first { "newest-first" } else { "oldest-first" }
            ),
            // the set-up of a codec would take most of the time of a small file
            "output.compression=uncompressed".to_owned(),
            format!("output.layout={}", self.layout),
        ];
        config(&set)
    }
}

/// Two changes of the limit.
fn limit_changes(rng: &mut fastrand::Rng) -> Vec<(Duration, u32)> {
    let mut after = Duration::ZERO;
    let mut change = || {
        after += Duration::from_millis(rng.u64(1..30_000));
        (after, rng.u32(20..200))
    };
    vec![change(), change()]
}

/// Faults of jobs: they fail, expire too early, are too many, or cannot read the newest data yet.
fn jobs(rng: &mut fastrand::Rng, page_size: u32, interval: Interval) -> JobSettings {
    let available = interval.to_ms() - rng.i64(0..10_000_000);
    let sometimes = |rng: &mut fastrand::Rng| if rng.bool() { 0 } else { rng.u32(2..8) };
    JobSettings {
        queued: Duration::from_millis(rng.u64(1..3_000)),
        running: Duration::from_millis(rng.u64(1..10_000)),
        fail_every: sometimes(rng),
        expire_every: sometimes(rng),
        per_second: sometimes(rng),
        concurrent: sometimes(rng),
        page_size: page_size + rng.u32(0..40),
        available_until: (rng.u8(..) < 60).then(|| Timestamp::from_millisecond(available).unwrap()),
        ..JobSettings::default()
    }
}
