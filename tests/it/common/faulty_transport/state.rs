//! What a faulty transport remembers of its runs, and what it draws for a request.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::common::{
    job_faults::JobFaults,
    request_recorder::RequestRecorder,
    scenario::{Scenario, Stop},
};

#[derive(Debug)]
pub struct TransportState {
    pub rng: fastrand::Rng,
    pub trace: Vec<String>,
    /// The time of earlier runs: the region's time does not start again.
    pub before: Duration,
    pub start: Option<Instant>,
    pub steps: u64,
    pub stop: Option<(u64, Stop, CancellationToken)>,
    pub clear: bool,
    /// Whether the faults were cleared at least once: then all rows can be decoded.
    pub is_decodable: bool,
    /// The requests of this run so far.
    pub requests: u64,
    /// Since when the platform is silent, by the time of all runs. `None` if it is not.
    pub silent_since: Option<Duration>,
    /// Whether an outage of this run has ended, and how many runs were answered after one.
    pub outage_ended: bool,
    pub outages: u64,
    /// Whether every row is served as before its change.
    pub before_change: bool,
    pub revoked: HashSet<String>,
    /// By interval and page size: the page from which rows are shifted, and by how many.
    pub shifts: HashMap<PagesKey, (u64, usize)>,
    /// The page before which a row is deleted, and whether it was served. The row is back once the
    /// first page is requested again. `None` if no row is deleted.
    pub deletions: HashMap<PagesKey, Option<(u64, bool)>>,
    pub deleted: u64,
    /// Pages of which a total was wrong. It is so once: a shard starts over a few times only.
    pub wrong_totals: HashSet<PagesKey>,
    pub job_faults: JobFaults,
    pub recorder: RequestRecorder,
}

/// The interval and the page size of a sequence of pages.
pub type PagesKey = (String, usize);

pub fn key(query: &Value) -> PagesKey {
    let size = usize::try_from(query["paging"]["pageSize"].as_u64().unwrap_or(25)).unwrap();
    (query["interval"].to_string(), size)
}

/// The fault of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    Nothing,
    LostBefore,
    LostAfter,
    Timeout,
    Status(u16, Option<u64>),
    Truncated,
    Html,
    Revoked,
    Total,
}

impl TransportState {
    /// The state before the first run of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(scenario.seed ^ 0x5eed),
            trace: Vec::new(),
            before: Duration::ZERO,
            start: None,
            steps: 0,
            stop: None,
            clear: false,
            is_decodable: false,
            requests: 0,
            silent_since: None,
            outage_ended: false,
            outages: 0,
            before_change: scenario.refresh,
            revoked: HashSet::new(),
            shifts: HashMap::new(),
            deletions: HashMap::new(),
            deleted: 0,
            wrong_totals: HashSet::new(),
            job_faults: JobFaults::default(),
            recorder: RequestRecorder::default(),
        }
    }

    pub fn now(&self) -> Duration {
        self.before + self.start.map_or(Duration::ZERO, |start| start.elapsed())
    }

    /// The status that refuses the submission of a job, until the faults are cleared.
    pub fn job_refusal(
        &mut self,
        fault_rate: f64,
        is_optional: bool,
        request: &Request<Bytes>,
    ) -> Option<u16> {
        let fault_rate = if self.clear { 0.0 } else { fault_rate };
        self.job_faults.refusal(&mut self.rng, fault_rate, is_optional, request)
    }

    /// Changes the state of a job in the reply to a poll.
    pub fn change_job(
        &mut self,
        fault_rate: f64,
        request: &Request<Bytes>,
        reply: &mut Response<Bytes>,
    ) {
        self.job_faults.change_state(&mut self.rng, fault_rate, request, reply);
    }

    /// Whether a row is deleted before this page. Where rows are shifted, none is.
    pub fn is_deleted(&mut self, key: &PagesKey, number: u64, fault_rate: f64) -> bool {
        let (at, is_drawn) = (self.rng.u64(2..5), self.rng.f64() < fault_rate);
        let is_shifted = self.shifts.get(key).is_some_and(|&(at, _)| at < u64::MAX);
        let deletion = self
            .deletions
            .entry(key.clone())
            .or_insert((is_drawn && !is_shifted).then_some((at, false)));
        match deletion {
            Some((_, true)) if number == 1 => *deletion = None,
            Some((at, was_served)) if number >= *at => {
                self.deleted += u64::from(number == *at && !*was_served);
                *was_served |= number == *at;
                return true;
            }
            _ => {}
        }
        false
    }

    /// Whether a total may be wrong now: once, and while no row is deleted.
    pub fn is_total_wrong(&mut self, key: &PagesKey) -> bool {
        let is_deleted = self.deletions.get(key).is_some_and(Option::is_some);
        !is_deleted && self.wrong_totals.insert(key.clone())
    }

    pub fn draw(&mut self, fault_rate: f64, api: bool) -> Event {
        if self.rng.f64() >= fault_rate {
            return Event::Nothing;
        }
        let rng = &mut self.rng;
        let event = match rng.u8(0..12) {
            0 => Event::LostBefore,
            1 => Event::LostAfter,
            2 => Event::Timeout,
            3 => Event::Status(429, Some(rng.u64(1..5))),
            4 => Event::Status(429, None),
            5 => Event::Status(500, None),
            6 => Event::Status(502, None),
            7 => Event::Status(503, rng.bool().then_some(1)),
            8 => Event::Truncated,
            9 => Event::Html,
            10 => Event::Total,
            _ => Event::Revoked,
        };
        match event {
            // the token endpoint has its own throttling
            Event::Status(429, _) | Event::Revoked | Event::Total if !api => {
                Event::Status(500, None)
            }
            event => event,
        }
    }
}
