//! What the metrics of a run say: at one moment, and as samples of its course.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    system::process,
    telemetry::metrics::{
        DatasetMetrics, LimitUse, MOST_MARKS, Metrics, MetricsSnapshot, Pause, PauseRecord, Sample,
        TokenLife,
        activity::{Activity, Wait},
        dataset::share,
    },
    time::clock,
};

/// The part of the planned time from which on the time that is left follows from it.
const TELLING_SHARE: f64 = 0.02;

/// The requests and the time from which on the time that is left follows from the speed so far.
const TELLING_REQUESTS: (u64, Duration) = (5, Duration::from_secs(5));

impl Metrics {
    /// Adds what happened since the last call to the samples. Call it once a second.
    pub(crate) fn sample(&self) {
        let now = clock::now();
        let latency = self.latency.counts();
        let counts = Sample {
            rows: self.rows.get(),
            requests: self.requests.get(),
            retries: self.retries.get(),
            rate_limited: self.rate_limited.get(),
            ..Sample::default()
        };
        // the limit of all requests comes first
        let limit = self.limits().into_iter().next();
        let mut history = self.history();
        let earlier = history.sampled.replace((now, counts.clone(), latency));
        let Some((from, before, latency_before)) = earlier else { return };
        let recent = latency.since(&latency_before);
        let sample = Sample {
            at: from.to_string(),
            seconds: now.duration_since(from).as_secs_f64().max(0.0),
            rows: counts.rows - before.rows,
            requests: counts.requests - before.requests,
            retries: counts.retries - before.retries,
            rate_limited: counts.rate_limited - before.rate_limited,
            latency_p50_ms: recent.percentile_ms(0.5),
            latency_p95_ms: recent.percentile_ms(0.95),
            memory_bytes: process::resident_bytes(),
            used: limit.as_ref().map(|limit| limit.used),
            limit: limit.as_ref().map(|limit| limit.limit),
            window_s: limit.as_ref().map(|limit| limit.per_s),
        };
        history.samples.add(sample);
    }

    /// The samples of the run, the oldest first, and how often two of them became one.
    pub(crate) fn samples(&self) -> (Vec<Sample>, u32) {
        let history = self.history();
        (history.samples.samples().to_vec(), history.samples.halvings())
    }

    /// Everything but the samples.
    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        let now = clock::now();
        let limits = self.limits();
        let datasets = self.datasets();
        let waits = self.waits.list();
        let mut history = self.history();
        let of_datasets = datasets.iter().map(|dataset| {
            let words = activity(Some(dataset), &datasets, &waits, &history.pauses, now).words();
            (dataset.name.to_string(), dataset.snapshot(words))
        });
        let of_datasets: BTreeMap<_, _> = of_datasets.collect();
        let words = activity(None, &datasets, &waits, &history.pauses, now).words();
        let kind: String = words.chars().filter(|c| !c.is_ascii_digit()).collect();
        let since = match &history.state {
            Some((known, since)) if *known == kind => *since,
            _ => {
                history.state = Some((kind, now));
                now
            }
        };
        let fetched_ms = self.planned_ms.get().saturating_sub(self.given_up_ms.get());
        let share = match self.given_up_ms.get() {
            1.. if fetched_ms == 0 => 1.0,
            _ => share(self.settled_ms.get(), fetched_ms),
        };
        MetricsSnapshot {
            at: now.to_string(),
            words,
            since: since.to_string(),
            rows: self.rows.get(),
            requests: self.requests.get(),
            retries: self.retries.get(),
            rate_limited: self.rate_limited.get(),
            token_requests: self.token_requests.get(),
            bytes_received: self.bytes_received.get(),
            in_flight: self.in_flight.get() as u64,
            memory_bytes: process::resident_bytes(),
            shards_planned: datasets.iter().map(|dataset| dataset.shards_planned.get()).sum(),
            shards_done: datasets.iter().map(|dataset| dataset.shards_done.get()).sum(),
            shards_split: self.shards_split.get(),
            share,
            eta_s: self.eta_s(share, &limits),
            limits,
            datasets: of_datasets,
            tokens: history
                .tokens
                .iter()
                .map(|(issued, expires)| token(*issued, *expires))
                .collect(),
            pauses: history.pauses.iter().map(PauseRecord::pause).collect(),
        }
    }

    /// What is left of the pause of all requests that the server demanded. `None` if there is none.
    pub(super) fn throttled_for(&self) -> Option<Duration> {
        let history = self.history();
        let of_all = history.pauses.iter().filter(|pause| pause.dataset.is_none());
        let end = of_all.map(|pause| pause.to).max()?;
        Duration::try_from(end.duration_since(clock::now())).ok()
    }

    /// When the newest token expires. `None` if that is not known.
    pub(super) fn token_expiry(&self) -> Option<Timestamp> {
        self.history().tokens.back()?.1
    }

    /// Fetchers that wait, by what for.
    pub(super) fn active_waits(&self) -> [(&'static str, usize); 4] {
        let waits = self.waits.list();
        let count = |is: fn(&Wait) -> bool| waits.iter().filter(|(_, wait)| is(wait)).count();
        [
            ("job", count(|wait| *wait == Wait::Job)),
            ("retry", count(|wait| matches!(wait, Wait::Retry { .. }))),
            ("outage", count(|wait| matches!(wait, Wait::Outage { .. }))),
            ("token", count(|wait| *wait == Wait::Token)),
        ]
    }

    /// Seconds that are left: by the requests that the estimate expects and the speed so far, or
    /// the quota before that is known; else by the time that is fetched.
    fn eta_s(&self, share: f64, limits: &[LimitUse]) -> Option<f64> {
        let elapsed = self.planned.get()?.elapsed();
        if share >= 1.0 {
            return Some(0.0);
        }
        let (sent, expected) = (self.requests.get(), self.requests_expected.get());
        let left = expected.saturating_sub(sent) as f64;
        let (enough_requests, enough_time) = TELLING_REQUESTS;
        let rate = match sent >= enough_requests && elapsed >= enough_time {
            true => Some(sent as f64 / elapsed.as_secs_f64()),
            false => limits.first().map(|limit| limit.limit as f64 / limit.per_s),
        };
        // the estimate counts the requests of datasets that were given up, too
        let is_telling = left > 0.0 && self.given_up_ms.get() == 0;
        let by_requests = rate.filter(|rate| is_telling && *rate > 0.0).map(|rate| left / rate);
        let by_time =
            (share >= TELLING_SHARE).then(|| elapsed.as_secs_f64() * (1.0 - share) / share);
        by_requests.or(by_time)
    }
}

impl PauseRecord {
    fn pause(&self) -> Pause {
        Pause {
            from: self.from.to_string(),
            to: self.to.to_string(),
            dataset: self.dataset.as_deref().map(str::to_owned),
            reason: self.reason.clone(),
        }
    }
}

/// What is going on with one dataset, or with all of them if it is `None`.
fn activity(
    dataset: Option<&DatasetMetrics>,
    datasets: &[Arc<DatasetMetrics>],
    waits: &[(Option<Arc<str>>, Wait)],
    pauses: &VecDeque<PauseRecord>,
    now: Timestamp,
) -> Activity {
    let is_of = |name: &Option<Arc<str>>| match (name, dataset) {
        (None, _) | (_, None) => true,
        (Some(name), Some(dataset)) => *name == dataset.name,
    };
    // a pause of one dataset does not stop the run
    let stops = |pause: &&PauseRecord| match &pause.dataset {
        None => true,
        name => dataset.is_some() && is_of(name),
    };
    let end = pauses.iter().rev().take(MOST_MARKS).filter(stops).map(|pause| pause.to).max();
    let left = end.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
    let of: Vec<&DatasetMetrics> = match dataset {
        Some(dataset) => vec![dataset],
        None => datasets.iter().map(AsRef::as_ref).collect(),
    };
    Activity {
        throttled: left.filter(|left| !left.is_zero()),
        waits: waits.iter().filter(|(name, _)| is_of(name)).map(|(_, wait)| *wait).collect(),
        in_flight: of.iter().map(|dataset| dataset.in_flight.get()).sum(),
        active: of.iter().map(|dataset| dataset.active_shards()).sum(),
        is_done: of.iter().all(|dataset| dataset.is_done()),
    }
}

fn token(issued: Timestamp, expires: Option<Timestamp>) -> TokenLife {
    TokenLife { issued: issued.to_string(), expires: expires.map(|expires| expires.to_string()) }
}
