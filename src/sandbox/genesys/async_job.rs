//! A query that was submitted, and how far it has come: that follows from the time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    sandbox::genesys::{
        job_kinds::{JobKind, JobQuery},
        records::LAST_DAY,
    },
    time::interval::DAY_MS,
};

/// What asynchronous queries are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// How long a job waits before it runs.
    pub queued: Duration,
    /// How long it then runs.
    pub running: Duration,
    /// How long its results are there then.
    pub kept: Duration,
    /// Every how manieth job fails; 0 for none.
    pub fail_every: u32,
    /// Every how manieth job loses its results before their time: by turns as soon as they are
    /// there, and after their first page; 0 for none.
    pub expire_every: u32,
    /// Jobs of one kind that may wait or run at once: one more is refused with a 429 that does not
    /// say for how long; 0 for any number.
    pub concurrent: u32,
    /// Jobs that may be submitted in a second: one more is refused with a 429; 0 for any number.
    pub per_second: u32,
    /// The most rows of a page of conversations or user details.
    pub page_size: u32,
    /// Until when details are available to jobs at the start; this advances with time. None for
    /// everything.
    pub available_until: Option<Timestamp>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            queued: Duration::from_millis(100),
            running: Duration::from_millis(400),
            kept: Duration::from_secs(60 * 60),
            fail_every: 0,
            expire_every: 0,
            concurrent: 10,
            per_second: 10,
            page_size: 2000,
            available_until: None,
        }
    }
}

impl Jobs {
    /// Until when details are available, in milliseconds since 1970.
    pub(crate) fn until(&self, now: Duration) -> i64 {
        let passed = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.available_until
            .map_or((LAST_DAY + 1) * DAY_MS, |time| time.as_millisecond().saturating_add(passed))
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Running,
    Done,
    Failed,
    Expired,
}

/// A query that was submitted.
#[derive(Clone, Debug)]
pub(crate) struct ActiveJob {
    /// How manieth it is of all.
    pub(crate) number: u64,
    pub(crate) id: String,
    pub(crate) kind: &'static JobKind,
    pub(crate) ask: Arc<JobQuery>,
    /// When it was submitted.
    pub(crate) at: Duration,
    /// Until when details were available to it.
    pub(crate) until: i64,
    /// Whether a page of its results was fetched.
    pub(crate) fetched: bool,
}

impl ActiveJob {
    /// How far it has come.
    pub(crate) fn stage(&self, settings: &Jobs, now: Duration) -> Stage {
        let age = now.saturating_sub(self.at);
        let turn =
            |every: u32| self.number.checked_div(every.into()).filter(|_| self.falls_on(every));
        let lost = turn(settings.expire_every).is_some_and(|turn| turn % 2 == 1 || self.fetched);
        match age {
            _ if age < settings.queued => Stage::Queued,
            _ if age < settings.queued + settings.running => Stage::Running,
            _ if self.falls_on(settings.fail_every) => Stage::Failed,
            _ if lost || age >= settings.queued + settings.running + settings.kept => {
                Stage::Expired
            }
            _ => Stage::Done,
        }
    }

    fn falls_on(&self, every: u32) -> bool {
        every > 0 && self.number.is_multiple_of(every.into())
    }
}
