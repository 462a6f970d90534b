//! A submitted job. Its stage is a function of the time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::sandbox::{
    genesys::async_jobs::kinds::{JobKind, JobQuery},
    time::{DAY_MS, LAST_DAY},
};

/// How asynchronous queries behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// How long a job waits before it runs.
    pub queued: Duration,
    /// How long it then runs.
    pub running: Duration,
    /// How long its results are kept after that.
    pub kept: Duration,
    /// Every Nth job fails (0 = never).
    pub fail_every: u32,
    /// Every Nth job loses its results too early (0 = never): alternately as soon as they exist,
    /// and after their first page was fetched.
    pub expire_every: u32,
    /// Jobs of one kind that may wait or run at once (0 = no limit). One more is answered with a
    /// 429 without Retry-After.
    pub concurrent: u32,
    /// Jobs that may be submitted in a second (0 = no limit). One more is answered with a 429.
    pub per_second: u32,
    /// The largest page of conversations or user details, in rows.
    pub page_size: u32,
    /// The time up to which details are available to jobs when the region starts; it advances with
    /// time. `None` if everything is available.
    pub available_until: Option<Timestamp>,
}

impl Default for JobSettings {
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

impl JobSettings {
    /// The time up to which details are available, in milliseconds since 1970.
    pub(crate) fn available_until_ms(&self, now: Duration) -> i64 {
        let passed = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.available_until
            .map_or((LAST_DAY + 1) * DAY_MS, |time| time.as_millisecond().saturating_add(passed))
    }
}

/// The progress of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Running,
    Done,
    Failed,
    Expired,
}

/// A submitted query and what its stage depends on.
#[derive(Clone, Debug)]
pub(crate) struct ActiveJob {
    /// Its number among all jobs, from 1.
    pub(crate) number: u64,
    pub(crate) id: String,
    pub(crate) kind: &'static JobKind,
    pub(crate) query: Arc<JobQuery>,
    /// When it was submitted.
    pub(crate) submitted: Duration,
    /// The time up to which details were available when it was submitted.
    pub(crate) available_until: i64,
    /// Whether a page of its results was fetched.
    pub(crate) fetched: bool,
}

impl ActiveJob {
    /// Its progress at a time.
    pub(crate) fn stage(&self, settings: &JobSettings, now: Duration) -> Stage {
        let age = now.saturating_sub(self.submitted);
        let occurrence =
            |every: u32| self.number.checked_div(every.into()).filter(|_| self.is_nth(every));
        let lost = occurrence(settings.expire_every).is_some_and(|n| n % 2 == 1 || self.fetched);
        match age {
            _ if age < settings.queued => Stage::Queued,
            _ if age < settings.queued + settings.running => Stage::Running,
            _ if self.is_nth(settings.fail_every) => Stage::Failed,
            _ if lost || age >= settings.queued + settings.running + settings.kept => {
                Stage::Expired
            }
            _ => Stage::Done,
        }
    }

    fn is_nth(&self, every: u32) -> bool {
        every > 0 && self.number.is_multiple_of(every.into())
    }
}
