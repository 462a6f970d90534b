//! What happened in the runs of a scenario, as counts.

use std::ops::AddAssign;

use cxbackfill::testing::Summary;

/// Counts over all runs of a scenario.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub crashes: u64,
    pub interrupts: u64,
    pub refreshes: u64,
    /// Crashes, splits and failed shards while committed rows were replaced.
    pub refresh_crashes: u64,
    pub refresh_splits: u64,
    pub refresh_failures: u64,
    pub splits: u64,
    pub retries: u64,
    pub throttled: u64,
    pub revoked: u64,
    pub deleted: u64,
    pub duplicates: u64,
    pub poisoned: u64,
    /// Rows that could not be decoded, datasets that were given up, and failures that a plain run
    /// retried.
    pub quarantined: u64,
    pub given_up: u64,
    pub healed: u64,
    /// Days with open rows that a later run fetched again.
    pub followed: u64,
    /// Jobs; jobs that failed or expired too early; and jobs that a run left behind.
    pub jobs: u64,
    pub lost: u64,
    pub orphans: u64,
    /// Polls that found a job in an unknown state, and cancelled; submissions that were refused,
    /// and whose replies were lost.
    pub jobs_unknown: u64,
    pub jobs_cancelled: u64,
    pub jobs_refused: u64,
    pub job_replies_lost: u64,
    /// Outages of the platform that a run waited out.
    pub outages: u64,
    /// Rows with values that fit no column.
    pub drifted: u64,
}

impl AddAssign<&Summary> for Tally {
    fn add_assign(&mut self, summary: &Summary) {
        self.splits += summary.shards_split;
        self.retries += summary.retries;
        self.throttled += summary.rate_limited;
        self.duplicates += summary.rows_duplicate;
        self.quarantined += summary.rows_quarantined;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.interrupts += other.interrupts;
        self.refreshes += other.refreshes;
        self.refresh_crashes += other.refresh_crashes;
        self.refresh_splits += other.refresh_splits;
        self.refresh_failures += other.refresh_failures;
        self.splits += other.splits;
        self.retries += other.retries;
        self.throttled += other.throttled;
        self.revoked += other.revoked;
        self.deleted += other.deleted;
        self.duplicates += other.duplicates;
        self.poisoned += other.poisoned;
        self.quarantined += other.quarantined;
        self.given_up += other.given_up;
        self.healed += other.healed;
        self.followed += other.followed;
        self.jobs += other.jobs;
        self.lost += other.lost;
        self.orphans += other.orphans;
        self.jobs_unknown += other.jobs_unknown;
        self.jobs_cancelled += other.jobs_cancelled;
        self.jobs_refused += other.jobs_refused;
        self.job_replies_lost += other.job_replies_lost;
        self.outages += other.outages;
        self.drifted += other.drifted;
    }
}
