//! How long replies take: base latency, jitter, changes over time, and load.

use std::time::Duration;

use crate::sandbox::rng::Rng;

/// The latency of a platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The time that every reply takes.
    pub base: Duration,
    /// The largest random time on top of the base.
    pub jitter: Duration,
    /// Changes of the base: the time after the start, and the new base. Sorted by time.
    pub steps: Vec<(Duration, Duration)>,
    /// Requests that are served at once: more of them queue (0 = no limit).
    pub capacity: u32,
}

impl Latency {
    /// The base at a time after the start.
    pub fn base_at(&self, now: Duration) -> Duration {
        current(&self.steps, now).unwrap_or(self.base)
    }

    /// How long the reply to request `number` takes while no other is in flight. A pure function.
    pub fn unloaded(&self, seed: u64, number: u64, now: Duration) -> Duration {
        let jitter = Rng::new([seed, 0x1a7e, number, 0]).fraction();
        self.base_at(now) + self.jitter.mul_f64(jitter)
    }
}

/// The value of the last step at or before `now`. `None` before the first step.
pub(super) fn current<T: Copy>(steps: &[(Duration, T)], now: Duration) -> Option<T> {
    steps.iter().rev().find(|(after, _)| *after <= now).map(|(_, value)| *value)
}

/// The requests in flight. Those above the capacity queue, so that no concurrency gets more than
/// capacity / base replies in a second.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: u32,
}

impl Load {
    /// Counts a request in and returns how long its reply takes, given the time that it takes
    /// without load. Every request must [leave](Self::leave).
    pub fn enter(&mut self, latency: &Latency, unloaded: Duration, now: Duration) -> Duration {
        self.in_flight += 1;
        let queued = match latency.capacity {
            0 => 0,
            capacity => self.in_flight.saturating_sub(capacity),
        };
        unloaded + latency.base_at(now) * queued / latency.capacity.max(1)
    }

    /// Removes a request that was answered.
    pub fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn latency() -> Latency {
        Latency {
            base: SECOND / 10,
            jitter: SECOND / 20,
            steps: vec![(10 * SECOND, SECOND), (20 * SECOND, Duration::ZERO)],
            capacity: 4,
        }
    }

    #[test]
    fn a_reply_takes_the_base_of_its_time_plus_jitter() {
        let latency = latency();
        for (at, base) in
            [(0, SECOND / 10), (9, SECOND / 10), (10, SECOND), (19, SECOND), (20, Duration::ZERO)]
        {
            let drawn: Vec<_> =
                (0..200).map(|number| latency.unloaded(7, number, at * SECOND) - base).collect();
            assert!(drawn.iter().all(|&more| more < latency.jitter));
            assert!(
                drawn.iter().any(|&more| more > latency.jitter * 9 / 10),
                "by chance: {drawn:?}"
            );
            assert_eq!(
                drawn,
                (0..200)
                    .map(|number| latency.unloaded(7, number, at * SECOND) - base)
                    .collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn no_concurrency_gets_more_replies_than_the_capacity_allows() {
        let latency = Latency { jitter: Duration::ZERO, ..latency() };
        let mut load = Load::default();
        let took: Vec<_> =
            (0..8).map(|_| load.enter(&latency, latency.base, Duration::ZERO)).collect();
        assert!(took[..4].iter().all(|&took| took == latency.base), "side by side");
        assert_eq!(took[7], 2 * latency.base, "two rounds of four");
        (0..8).for_each(|_| load.leave());
        assert_eq!(
            load.enter(&latency, latency.base, Duration::ZERO),
            latency.base,
            "all have left"
        );
        let unlimited = Latency { capacity: 0, ..latency.clone() };
        let mut load = Load::default();
        assert!(
            (0..99).all(|_| load.enter(&unlimited, latency.base, Duration::ZERO) == latency.base)
        );
    }
}
