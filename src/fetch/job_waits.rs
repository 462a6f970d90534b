//! How long to wait before the first poll of a job: about as long as jobs of the dataset over as
//! many days took before.

use std::time::Duration;

use dashmap::DashMap;

use crate::{ledger::JobWait, time::interval::Interval};

/// The wait if no job of the dataset was polled yet.
const UNKNOWN: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// The longest pause between two polls of a job.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Jobs in a row that were done at their first poll after which the wait shrinks faster.
const STEADY: u32 = 4;

/// The wait before the first poll of a job, by dataset and width. Shared by all fetchers.
#[derive(Debug, Default)]
pub(crate) struct JobWaits(DashMap<String, Vec<JobWait>>);

impl JobWaits {
    /// Starts with what earlier runs learned.
    pub(crate) fn insert(&self, dataset: &str, waits: Vec<JobWait>) {
        self.0.insert(dataset.to_owned(), waits);
    }

    /// The wait before the first poll of a job over `interval`. If no job of this width was polled
    /// yet, that of the widest narrower one.
    pub(super) fn first(&self, dataset: &str, interval: Interval) -> Duration {
        let days = width_in_days(interval);
        let known = self.0.get(dataset);
        let narrower = known.iter().flat_map(|waits| waits.iter()).filter(|job| job.days <= days);
        narrower.max_by_key(|job| job.days).map_or(UNKNOWN, |job| job.wait)
    }

    /// Learns from a job over `interval` that was found done `took` after its submission, by so
    /// many polls. Returns what is to be kept for later runs.
    pub(super) fn learn(
        &self,
        dataset: &str,
        interval: Interval,
        polls: u32,
        took: Duration,
    ) -> JobWait {
        let (days, wait) = (width_in_days(interval), self.first(dataset, interval));
        let mut waits = self.0.entry(dataset.to_owned()).or_default();
        let known = waits.iter().position(|job| job.days == days);
        let before =
            known.map_or(JobWait { days, wait, prompt: 0 }, |known| waits.swap_remove(known));
        let learned = after_job(before, polls, took);
        waits.push(learned);
        learned
    }
}

/// The power of two of days that an interval fits into.
fn width_in_days(interval: Interval) -> u32 {
    let days = interval.width().as_secs().div_ceil(86_400).max(1);
    u32::try_from(days).map_or(1 << 31, u32::next_power_of_two)
}

/// The pause after a poll that found the job unfinished: at first a quarter of the first wait, then
/// twice the pause before.
pub(super) fn next_pause(first: Duration, polls: u32, pause: Duration) -> Duration {
    let next = if polls == 1 { first / 4 } else { pause * 2 };
    next.clamp(SHORTEST, LONGEST_PAUSE)
}

/// What is known after a job. One that was done at the first poll may have been done earlier: the
/// wait gets a little shorter until one is not, and after several such jobs much shorter, so that a
/// wait that is far too long is soon forgotten. It at most doubles, so that one slow job does not
/// delay the next ones for long.
fn after_job(before: JobWait, polls: u32, took: Duration) -> JobWait {
    let JobWait { days, wait, prompt } = before;
    let (next, prompt) = match polls {
        0 | 1 => (
            wait - wait / 32 * (1 << prompt.saturating_sub(STEADY - 1).min(4)),
            prompt.saturating_add(1),
        ),
        _ => ((took * 11 / 10).min(wait * 2), 0),
    };
    JobWait { days, wait: next.clamp(SHORTEST, LONGEST), prompt }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(count: i64) -> Interval {
        Interval::new(0, count * 86_400_000).unwrap()
    }

    /// The polls of a series of jobs of one width that each take so many seconds, and the time that
    /// they waited in vain.
    fn poll_jobs(waits: &JobWaits, interval: Interval, seconds: &[u64]) -> (u32, Duration) {
        let (mut all_polls, mut in_vain) = (0, Duration::ZERO);
        for job_time in seconds.iter().map(|&seconds| Duration::from_secs(seconds)) {
            let first = waits.first("calls", interval);
            let (mut pause, mut waited, mut polls) = (first, first, 1);
            while waited < job_time {
                pause = next_pause(first, polls, pause);
                waited += pause;
                polls += 1;
            }
            waits.learn("calls", interval, polls, waited);
            all_polls += polls;
            in_vain += waited.saturating_sub(job_time);
        }
        (all_polls, in_vain)
    }

    #[test]
    fn polls_are_spaced_by_what_jobs_took_before() {
        for job_time in [1, 20, 300] {
            let waits = JobWaits::default();
            poll_jobs(&waits, days(1), &[job_time; 10]);
            let (polls, in_vain) = poll_jobs(&waits, days(1), &[job_time; 40]);
            assert!(polls <= 50, "{job_time} s: {polls} polls of 40 jobs");
            assert!(
                in_vain <= Duration::from_secs(40 * job_time / 4 + 40),
                "{job_time} s: {in_vain:?} of waiting for 40 jobs"
            );
        }
    }

    #[test]
    fn jobs_of_one_width_do_not_change_the_wait_of_others() {
        let waits = JobWaits::default();
        poll_jobs(&waits, days(1), &[5; 10]);
        let of_a_day = waits.first("calls", days(1));
        assert_eq!(waits.first("calls", days(31)), of_a_day, "a narrower one is known");
        poll_jobs(&waits, days(31), &[300; 10]);
        assert_eq!(waits.first("calls", days(1)), of_a_day);
        assert!(waits.first("calls", days(20)) > Duration::from_secs(200), "17 to 32 days");
        assert_eq!(waits.first("calls", days(16)), of_a_day);
        assert_eq!(waits.first("chats", days(1)), UNKNOWN);
    }

    #[test]
    fn a_wait_that_is_far_too_long_is_forgotten_within_fifteen_jobs() {
        let waits = JobWaits::default();
        poll_jobs(&waits, days(1), &[2, 2, 3_600]);
        assert!(waits.first("calls", days(1)) > Duration::from_secs(3), "after a slow job");
        for wait in [waits.first("calls", days(1)), LONGEST] {
            waits.insert("calls", vec![JobWait { days: 1, wait, prompt: 0 }]);
            poll_jobs(&waits, days(1), &[2; 15]);
            let first = waits.first("calls", days(1));
            assert!(first < Duration::from_secs(3), "{wait:?} became {first:?}");
        }
    }
}
