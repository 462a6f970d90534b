//! Counts requests in fixed and sliding windows.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::Serialize;

/// The number of times that a sliding window keeps: above it the count is a lower bound.
const TIMES_KEPT: usize = 1 << 17;

/// The number of fixed windows that are reported one by one.
const WINDOWS_KEPT: usize = 10_000;

/// Counts of what a region has answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests for a token, by the status of the reply.
    pub token_requests: BTreeMap<u16, u64>,
    /// All other requests but those for the sandbox itself, by the status of the reply.
    pub api_requests: BTreeMap<u16, u64>,
    /// The largest number of authenticated requests, rejected ones included, that one client sent
    /// in one of its fixed windows.
    pub most_in_window: u64,
    /// The same for any interval of a window's length, wherever it begins. Counts up to 131,072.
    pub most_in_sliding_window: u64,
    /// The fixed windows of all clients, in the order in which they began; the first 10,000.
    pub windows: Vec<WindowUsage>,
}

/// The requests of one client in one of its fixed windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WindowUsage {
    /// Authenticated requests, rejected ones included, without foreign requests.
    pub sent: u32,
    /// Those that were answered with 429.
    pub refused: u32,
    /// The limit when the last of them arrived (0 = no limit).
    pub allowed: u32,
}

/// A fixed window: it begins with the first request after the one before has ended.
#[derive(Debug, Default)]
pub(super) struct RequestWindow {
    since: Option<Duration>,
    used: u32,
}

impl RequestWindow {
    /// Counts one request and returns the number in the window, this one included.
    pub(super) fn count(&mut self, now: Duration, per: Duration) -> u32 {
        if self.since.is_none_or(|since| now.saturating_sub(since) >= per) {
            *self = Self { since: Some(now), used: 0 };
        }
        self.used = self.used.saturating_add(1);
        self.used
    }

    /// The requests that another client has sent so far in the window if it spreads
    /// `foreign_requests` evenly over it.
    pub(super) fn foreign(&self, now: Duration, per: Duration, foreign_requests: u32) -> u32 {
        let elapsed = now.saturating_sub(self.since.unwrap_or(now)).min(per).as_nanos();
        let share = u128::from(foreign_requests) * elapsed / per.as_nanos().max(1);
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Whole seconds until it ends, rounded up.
    pub(super) fn reset(&self, now: Duration, per: Duration) -> u64 {
        whole_seconds((self.since.unwrap_or(now) + per).saturating_sub(now))
    }
}

/// The requests of one client.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) window: RequestWindow,
    /// The times of the requests of the last `per`.
    times: VecDeque<Duration>,
    /// The index of the current window in [`Stats::windows`].
    pub(super) window_index: usize,
}

impl Meter {
    /// Counts one request in the window and in `stats`, and returns the number in the window.
    pub(super) fn count(&mut self, now: Duration, per: Duration, stats: &mut Stats) -> u32 {
        let used = self.window.count(now, per);
        if used == 1 {
            self.window_index = stats.windows.len();
            if self.window_index < WINDOWS_KEPT {
                stats.windows.push(WindowUsage::default());
            }
        }
        if let Some(usage) = stats.windows.get_mut(self.window_index) {
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

    /// The requests of the last `per`, and whole seconds until the oldest of them is older, rounded
    /// up. To be called after [`Self::count`].
    pub(super) fn sliding(&self, now: Duration, per: Duration) -> (u32, u64) {
        let used = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        let left = (self.times.front().copied().unwrap_or(now) + per).saturating_sub(now);
        (used, whole_seconds(left))
    }
}

/// Seconds, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER: Duration = Duration::from_secs(60);

    #[test]
    fn a_window_begins_with_its_first_request_and_its_reset_is_rounded_up() {
        let mut window = RequestWindow::default();
        assert_eq!(window.count(Duration::from_millis(5_500), PER), 1);
        assert_eq!(window.reset(Duration::from_millis(5_500), PER), 60);
        assert_eq!(window.reset(Duration::from_millis(5_501), PER), 60);
        assert_eq!(window.reset(Duration::from_millis(64_600), PER), 1);
        assert_eq!(window.count(Duration::from_millis(65_499), PER), 2);
        assert_eq!(window.count(Duration::from_millis(65_500), PER), 1);
    }

    #[test]
    fn a_burst_across_two_windows_shows_only_in_the_sliding_window() {
        let (mut meter, mut stats) = (Meter::default(), Stats::default());
        for second in [0, 58, 59, 60, 61, 121] {
            meter.count(Duration::from_secs(second), PER, &mut stats);
        }
        assert_eq!((stats.most_in_window, stats.most_in_sliding_window), (3, 4));
        assert_eq!(stats.windows.iter().map(|usage| usage.sent).collect::<Vec<_>>(), [3, 2, 1]);
    }

    #[test]
    fn a_sliding_window_holds_the_requests_of_the_last_minute_and_ends_with_the_oldest() {
        let (mut meter, mut stats) = (Meter::default(), Stats::default());
        let mut count = |second| {
            let now = Duration::from_secs(second);
            meter.count(now, PER, &mut stats);
            meter.sliding(now, PER)
        };
        assert_eq!(
            [0, 20, 59, 60, 90].map(&mut count),
            [(1, 60), (2, 40), (3, 1), (3, 20), (3, 29)]
        );
    }

    #[test]
    fn foreign_requests_are_spread_evenly_over_a_window() {
        let mut window = RequestWindow::default();
        window.count(Duration::from_secs(7), PER);
        let foreign = |second| window.foreign(Duration::from_secs(second), PER, 90);
        assert_eq!([7, 8, 37, 66, 67].map(foreign), [0, 1, 45, 88, 90]);
        assert_eq!(RequestWindow::default().foreign(PER, PER, 90), 0, "no window has begun");
    }

    #[test]
    fn the_number_of_reported_windows_is_bounded() {
        let (mut meter, mut stats) = (Meter::default(), Stats::default());
        for n in 0..10_005 {
            meter.count(PER * n, PER, &mut stats);
        }
        assert_eq!((stats.windows.len(), stats.most_in_window), (WINDOWS_KEPT, 1));
        assert!(stats.windows.iter().all(|usage| usage.sent == 1));
    }
}
