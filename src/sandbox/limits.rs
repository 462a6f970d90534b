//! How many requests are admitted, and what the region saw of them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::Serialize;

/// The most times that a sliding window keeps: beyond, its count is a lower bound.
const TIMES_KEPT: usize = 1 << 17;

/// The most fixed windows that are told of one by one.
const WINDOWS_KEPT: usize = 10_000;

/// What a region has answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests for a token, by the status of the reply.
    pub token_requests: BTreeMap<u16, u64>,
    /// Requests of data (under `/api/v2/`, and NICE CXone's), by the status of the reply.
    pub api_requests: BTreeMap<u16, u64>,
    /// The most API requests with a valid token, refused ones included, that one client sent in one
    /// of its fixed windows.
    pub most_in_window: u64,
    /// The same in any span of a window's length, wherever it begins. Counts to 131,072.
    pub most_in_sliding_window: u64,
    /// The fixed windows of all clients, in the order in which they began; the first 10,000.
    pub windows: Vec<Usage>,
}

/// What one client did in one of its fixed windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// API requests with a valid token, refused ones included. What others ate is not among them.
    pub sent: u32,
    /// Those that were answered 429, for whatever reason.
    pub refused: u32,
    /// The limit when the last of them came; 0 for none.
    pub allowed: u32,
}

/// A fixed window: it begins with the first request after the one before has ended.
#[derive(Debug, Default)]
pub(super) struct RequestWindow {
    since: Option<Duration>,
    used: u32,
}

impl RequestWindow {
    /// Counts one request and gives the number in the window, this one included.
    pub(super) fn count(&mut self, now: Duration, per: Duration) -> u32 {
        if self.since.is_none_or(|since| now.saturating_sub(since) >= per) {
            *self = Self { since: Some(now), used: 0 };
        }
        self.used = self.used.saturating_add(1);
        self.used
    }

    /// The share of `eaten` that somebody else, who spreads it evenly over a window, has had of it.
    pub(super) fn eaten(&self, now: Duration, per: Duration, eaten: u32) -> u32 {
        let gone = now.saturating_sub(self.since.unwrap_or(now)).min(per).as_nanos();
        let share = u128::from(eaten) * gone / per.as_nanos().max(1);
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Whole seconds until it ends, rounded up.
    pub(super) fn reset(&self, now: Duration, per: Duration) -> u64 {
        let left = (self.since.unwrap_or(now) + per).saturating_sub(now);
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }
}

/// The requests of one client.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) window: RequestWindow,
    /// When those of the last `per` came.
    times: VecDeque<Duration>,
    /// Which of [`Stats::windows`] is the current one.
    pub(super) told: usize,
}

impl Meter {
    /// Counts one request, in the window and in `stats`, and gives the number in the window.
    pub(super) fn count(&mut self, now: Duration, per: Duration, stats: &mut Stats) -> u32 {
        let used = self.window.count(now, per);
        if used == 1 {
            self.told = stats.windows.len();
            if self.told < WINDOWS_KEPT {
                stats.windows.push(Usage::default());
            }
        }
        if let Some(usage) = stats.windows.get_mut(self.told) {
            usage.sent = used;
        }
        self.times.push_back(now);
        while self.times.len() > TIMES_KEPT
            || self.times.front().is_some_and(|&time| now.saturating_sub(time) >= per)
        {
            self.times.pop_front();
        }
        stats.most_in_window = stats.most_in_window.max(used.into());
        stats.most_in_sliding_window = stats.most_in_sliding_window.max(self.times.len() as u64);
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER: Duration = Duration::from_secs(60);

    #[test]
    fn a_window_begins_with_its_first_request_and_rounds_its_rest_up() {
        let mut window = RequestWindow::default();
        assert_eq!(window.count(Duration::from_millis(5_500), PER), 1);
        assert_eq!(window.reset(Duration::from_millis(5_500), PER), 60);
        assert_eq!(window.reset(Duration::from_millis(5_501), PER), 60);
        assert_eq!(window.reset(Duration::from_millis(64_600), PER), 1);
        assert_eq!(window.count(Duration::from_millis(65_499), PER), 2);
        assert_eq!(window.count(Duration::from_millis(65_500), PER), 1);
    }

    #[test]
    fn a_burst_across_two_windows_shows_in_the_sliding_one_only() {
        let (mut meter, mut stats) = (Meter::default(), Stats::default());
        for second in [0, 58, 59, 60, 61, 121] {
            meter.count(Duration::from_secs(second), PER, &mut stats);
        }
        assert_eq!((stats.most_in_window, stats.most_in_sliding_window), (3, 4));
        assert_eq!(stats.windows.iter().map(|usage| usage.sent).collect::<Vec<_>>(), [3, 2, 1]);
    }

    #[test]
    fn what_somebody_else_eats_is_spread_evenly_over_a_window() {
        let mut window = RequestWindow::default();
        window.count(Duration::from_secs(7), PER);
        let eaten = |second| window.eaten(Duration::from_secs(second), PER, 90);
        assert_eq!([7, 8, 37, 66, 67].map(eaten), [0, 1, 45, 88, 90]);
        assert_eq!(RequestWindow::default().eaten(PER, PER, 90), 0, "no window has begun");
    }

    #[test]
    fn only_so_many_windows_are_told_of() {
        let (mut meter, mut stats) = (Meter::default(), Stats::default());
        for n in 0..10_005 {
            meter.count(PER * n, PER, &mut stats);
        }
        assert_eq!((stats.windows.len(), stats.most_in_window), (WINDOWS_KEPT, 1));
        assert!(stats.windows.iter().all(|usage| usage.sent == 1));
    }
}
