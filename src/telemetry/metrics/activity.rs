//! What a run is doing at present, in words.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What a fetcher waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For an asynchronous job of the platform.
    Job,
    /// For the next attempt of a request.
    Retry {
        /// The number of the attempt that failed.
        attempt: u32,
        /// Whether there was no connection, or no answer.
        no_connection: bool,
    },
    /// For the end of an outage.
    Outage {
        /// The number of the next probe.
        attempt: u32,
    },
    /// For a new token.
    Token,
}

/// The waits of all fetchers.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    /// Each with its dataset. `None` if it concerns all.
    waits: BTreeMap<u64, (Option<Arc<str>>, Wait)>,
}

/// A wait goes on until this is dropped.
#[must_use = "the wait ends when this is dropped"]
pub(crate) struct WaitGuard<'a> {
    waits: &'a Waits,
    number: u64,
}

impl Waits {
    /// Begins a wait of a fetcher of `dataset`; `None` means that it concerns all datasets.
    pub(super) fn begin(&self, dataset: Option<Arc<str>>, wait: Wait) -> WaitGuard<'_> {
        let mut entries = self.entries();
        entries.last += 1;
        let number = entries.last;
        entries.waits.insert(number, (dataset, wait));
        WaitGuard { waits: self, number }
    }

    /// What fetchers wait for at present, each with its dataset.
    pub(super) fn list(&self) -> Vec<(Option<Arc<str>>, Wait)> {
        self.entries().waits.values().cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.waits.entries().waits.remove(&self.number);
    }
}

/// What is known of a run, or of one dataset of it, to say what it is doing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Activity {
    /// How long the server has told us to wait.
    pub throttled: Option<Duration>,
    pub waits: Vec<Wait>,
    /// Requests that are sent and not answered.
    pub in_flight: usize,
    /// Shards that are being fetched.
    pub active: usize,
    /// Whether there is anything left to fetch.
    pub is_done: bool,
}

impl Activity {
    /// What is going on, in words. The most important first: what stops the work, then the work.
    pub(super) fn words(&self) -> String {
        if let Some(left) = self.throttled {
            return format!("throttled for {} s", left.as_secs_f64().ceil());
        }
        let count = |is: fn(&Wait) -> bool| self.waits.iter().filter(|wait| is(wait)).count();
        let attempt = |of: fn(&Wait) -> Option<u32>| self.waits.iter().filter_map(of).max();
        if let Some(attempt) = attempt(|wait| match wait {
            Wait::Outage { attempt } => Some(*attempt),
            _ => None,
        }) {
            return format!("no connection, attempt {attempt}");
        }
        if count(|wait| *wait == Wait::Token) > 0 {
            return "renewing the token".to_owned();
        }
        let is_stopped = self.in_flight == 0 && self.waits.len() >= self.active;
        if is_stopped && !self.waits.is_empty() {
            let jobs = count(|wait| *wait == Wait::Job);
            if let Some((attempt, no_connection)) = self
                .waits
                .iter()
                .filter_map(|wait| match wait {
                    Wait::Retry { attempt, no_connection } => Some((*attempt, *no_connection)),
                    _ => None,
                })
                .max()
            {
                let what = if no_connection { "no connection" } else { "retrying" };
                return format!("{what}, attempt {}", attempt + 1);
            }
            return match jobs {
                1 => "waiting for a job".to_owned(),
                jobs => format!("waiting for {jobs} jobs"),
            };
        }
        match self {
            _ if self.active > 0 || self.in_flight > 0 => "fetching",
            _ if self.is_done => "done",
            _ => "waiting",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_told_in_words_and_what_stops_the_work_comes_first() {
        let fetching = Activity { active: 3, in_flight: 2, ..Activity::default() };
        let words = |activity: &Activity| activity.words();
        assert_eq!(words(&Activity::default()), "waiting");
        assert_eq!(words(&Activity { is_done: true, ..Activity::default() }), "done");
        assert_eq!(words(&fetching), "fetching");
        let jobs = Activity { in_flight: 0, waits: vec![Wait::Job; 3], ..fetching.clone() };
        assert_eq!(words(&jobs), "waiting for 3 jobs");
        assert_eq!(words(&Activity { in_flight: 1, ..jobs.clone() }), "fetching");
        assert_eq!(words(&Activity { active: 4, ..jobs.clone() }), "fetching", "one has work");
        let retry = |attempt, no_connection| Wait::Retry { attempt, no_connection };
        let retries = |wait| Activity { waits: vec![wait; 3], in_flight: 0, ..fetching.clone() };
        assert_eq!(words(&retries(retry(3, true))), "no connection, attempt 4");
        assert_eq!(words(&retries(retry(1, false))), "retrying, attempt 2");
        let renewing = Activity { waits: vec![Wait::Token], ..fetching.clone() };
        assert_eq!(words(&renewing), "renewing the token");
        let outage =
            Activity { waits: vec![Wait::Token, Wait::Outage { attempt: 4 }], ..fetching.clone() };
        assert_eq!(words(&outage), "no connection, attempt 4");
        let throttled = Some(Duration::from_millis(41_500));
        assert_eq!(words(&Activity { throttled, ..outage }), "throttled for 42 s");
    }

    #[test]
    fn a_wait_ends_with_its_guard() {
        let waits = Waits::default();
        let first = waits.begin(Some("d".into()), Wait::Job);
        let second = waits.begin(None, Wait::Token);
        assert_eq!(waits.list(), [(Some("d".into()), Wait::Job), (None, Wait::Token)]);
        drop(first);
        assert_eq!(waits.list(), [(None, Wait::Token)]);
        drop(second);
        assert!(waits.list().is_empty());
    }
}
