//! How unevenly requests travel, as far as responses show it.

use std::time::Duration;

/// Latencies of a generation; those of the present one and the one before count.
const GENERATION: u32 = 64;

/// The difference between the slowest and the fastest of the last responses. Requests that were
/// sent evenly may have arrived as unevenly as that.
#[derive(Debug, Clone, Default)]
pub(super) struct LatencySpread {
    present: Option<(Duration, Duration)>,
    former: Option<(Duration, Duration)>,
    count: u32,
}

impl LatencySpread {
    /// Adds the latency of a response.
    pub(super) fn add(&mut self, latency: Duration) {
        if self.count == GENERATION {
            *self = Self { present: None, former: self.present, count: 0 };
        }
        let (fastest, slowest) = self.present.unwrap_or((latency, latency));
        self.present = Some((fastest.min(latency), slowest.max(latency)));
        self.count += 1;
    }

    /// The spread; zero before the second response.
    pub(super) fn get(&self) -> Duration {
        let seen = [self.present, self.former].into_iter().flatten();
        let whole = seen.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        whole.map_or(Duration::ZERO, |(fastest, slowest)| slowest - fastest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_the_last_responses() {
        let ms = Duration::from_millis;
        let mut spread = LatencySpread::default();
        assert_eq!(spread.get(), Duration::ZERO);
        spread.add(ms(500));
        assert_eq!(spread.get(), Duration::ZERO);
        spread.add(ms(20));
        assert_eq!(spread.get(), ms(480));
        (0..GENERATION).for_each(|_| spread.add(ms(60)));
        assert_eq!(spread.get(), ms(480), "the generation before counts");
        (0..GENERATION).for_each(|_| spread.add(ms(60)));
        assert_eq!(spread.get(), Duration::ZERO, "an older one does not");
    }
}
