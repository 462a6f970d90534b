//! How long to wait before the first poll of a job: about as long as the dataset's jobs took before.

use std::time::Duration;

use dashmap::DashMap;

/// The wait if no job of the dataset was polled yet.
const UNKNOWN: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// The longest pause between two polls of a job.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The wait before the first poll of a job, by dataset. Shared by all fetchers.
#[derive(Debug, Default)]
pub(crate) struct JobWaits(DashMap<String, Duration>);

impl JobWaits {
    /// Starts with what earlier runs learned.
    pub(crate) fn insert(&self, dataset: &str, wait: Duration) {
        self.0.insert(dataset.to_owned(), wait);
    }

    /// The wait before the first poll.
    pub(super) fn first(&self, dataset: &str) -> Duration {
        self.0.get(dataset).map_or(UNKNOWN, |wait| *wait)
    }

    /// Learns from a job that was found done `took` after its submission, by so many polls. Returns
    /// the wait for the next.
    pub(super) fn learn(&self, dataset: &str, polls: u32, took: Duration) -> Duration {
        let wait = next_wait(self.first(dataset), polls, took);
        self.insert(dataset, wait);
        wait
    }
}

/// The pause after a poll that found the job unfinished: at first a quarter of the first wait, then
/// twice the pause before.
pub(super) fn next_pause(first: Duration, polls: u32, pause: Duration) -> Duration {
    let next = if polls == 1 { first / 4 } else { pause * 2 };
    next.clamp(SHORTEST, LONGEST_PAUSE)
}

/// A job that was done at the first poll may have been done earlier: the wait gets a little shorter
/// until one is not. It at most doubles, so that one slow job does not delay the next ones for long.
fn next_wait(wait: Duration, polls: u32, took: Duration) -> Duration {
    let next = if polls <= 1 { wait * 97 / 100 } else { (took * 11 / 10).min(wait * 2) };
    next.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The polls of a series of jobs that each take so many seconds, and the time that they waited
    /// in vain.
    fn poll(waits: &JobWaits, seconds: &[u64]) -> (u32, Duration) {
        let (mut all_polls, mut in_vain) = (0, Duration::ZERO);
        for job_time in seconds.iter().map(|&seconds| Duration::from_secs(seconds)) {
            let first = waits.first("calls");
            let (mut pause, mut waited, mut polls) = (first, first, 1);
            while waited < job_time {
                pause = next_pause(first, polls, pause);
                waited += pause;
                polls += 1;
            }
            waits.learn("calls", polls, waited);
            all_polls += polls;
            in_vain += waited.saturating_sub(job_time);
        }
        (all_polls, in_vain)
    }

    #[test]
    fn polls_are_spaced_by_what_jobs_took_before() {
        for job_time in [1, 20, 300] {
            let waits = JobWaits::default();
            poll(&waits, &[job_time; 10]);
            let (polls, in_vain) = poll(&waits, &[job_time; 40]);
            assert!(polls <= 50, "{job_time} s: {polls} polls of 40 jobs");
            assert!(
                in_vain <= Duration::from_secs(40 * job_time / 4 + 40),
                "{job_time} s: {in_vain:?} of waiting for 40 jobs"
            );
        }
    }

    #[test]
    fn a_slow_job_delays_the_next_ones_only_for_a_while() {
        let waits = JobWaits::default();
        poll(&waits, &[2, 2, 3_600]);
        assert!(waits.first("calls") > Duration::from_secs(3));
        poll(&waits, &[2; 30]);
        assert!(waits.first("calls") < Duration::from_secs(3), "{:?}", waits.first("calls"));
    }
}
