//! How many requests are admitted, and what the region saw of them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::Serialize;

/// The most times that a sliding window keeps: beyond, its count is a lower bound.
const TIMES_KEPT: usize = 1 << 17;

/// What a region has answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests for a token, by the status of the reply.
    pub token_requests: BTreeMap<u16, u64>,
    /// Requests under `/api/v2/`, by the status of the reply.
    pub api_requests: BTreeMap<u16, u64>,
    /// The most API requests with a valid token, refused ones included, that one client sent in one
    /// of its fixed windows.
    pub most_in_window: u64,
    /// The same in any span of a window's length, wherever it begins. Counts to 131,072.
    pub most_in_sliding_window: u64,
}

/// A fixed window: it begins with the first request after the one before has ended.
#[derive(Debug, Default)]
pub(super) struct Window {
    since: Option<Duration>,
    used: u32,
}

impl Window {
    /// Counts one request and gives the number in the window, this one included.
    pub(super) fn count(&mut self, now: Duration, per: Duration) -> u32 {
        if self.since.is_none_or(|since| now.saturating_sub(since) >= per) {
            *self = Self { since: Some(now), used: 0 };
        }
        self.used = self.used.saturating_add(1);
        self.used
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
    pub(super) window: Window,
    /// When those of the last `per` came.
    times: VecDeque<Duration>,
}

impl Meter {
    /// Counts one request, in the window and in `stats`, and gives the number in the window.
    pub(super) fn count(&mut self, now: Duration, per: Duration, stats: &mut Stats) -> u32 {
        let used = self.window.count(now, per);
        self.times.push_back(now);
        while self.times.len() > TIMES_KEPT || self.times.front().is_some_and(|&time| now.saturating_sub(time) >= per) {
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
        let mut window = Window::default();
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
    }
}
