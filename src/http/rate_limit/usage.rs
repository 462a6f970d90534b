//! How much of the present window is used, for people to look at. Nothing is decided by it.

use std::time::Duration;

use tokio::time::Instant;

/// The parts of a window that are told apart.
const PARTS: usize = 60;

/// The requests that were sent in the last window, by parts of it.
#[derive(Debug)]
pub(super) struct SentCounts {
    counts: [u32; PARTS],
    /// The start of the newest part.
    newest: Instant,
    /// Its place in `counts`.
    place: usize,
}

impl SentCounts {
    /// Nothing is sent yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { counts: [0; PARTS], newest: now, place: 0 }
    }

    /// Counts one request as sent, where windows have this length.
    pub(super) fn add(&mut self, per: Duration, now: Instant) {
        self.advance(per, now);
        self.counts[self.place] += 1;
    }

    /// The requests that were sent in the last window.
    pub(super) fn sum(&mut self, per: Duration, now: Instant) -> u64 {
        self.advance(per, now);
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Forgets the parts that are older than a window.
    fn advance(&mut self, per: Duration, now: Instant) {
        let part = (per / PARTS as u32).max(Duration::from_millis(1));
        let passed = now.saturating_duration_since(self.newest).as_nanos() / part.as_nanos();
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        if passed >= PARTS {
            *self = Self::new(now);
            return;
        }
        for _ in 0..passed {
            self.place = (self.place + 1) % PARTS;
            self.counts[self.place] = 0;
            self.newest += part;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_last_window_are_counted() {
        let (start, per) = (Instant::now(), Duration::from_secs(60));
        let at = |second: u64| start + Duration::from_secs(second);
        let mut sent = SentCounts::new(start);
        for second in 0..120 {
            sent.add(per, at(second));
            assert_eq!(sent.sum(per, at(second)), (second + 1).min(60), "{second}");
        }
        assert_eq!(sent.sum(per, at(150)), 29);
        assert_eq!(sent.sum(per, at(1_000)), 0);
    }
}
