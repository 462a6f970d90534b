//! How long replies take: by chance, by the hour, by the load.

use std::time::Duration;

use crate::sandbox::rng::Rng;

/// How long a platform takes to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// What every reply takes.
    pub base: Duration,
    /// Up to so much more, by chance.
    pub jitter: Duration,
    /// From so long after the start the base is another, until the next step. In order of time.
    pub steps: Vec<(Duration, Duration)>,
    /// Requests that are answered side by side: more of them wait for one another. 0 for any number.
    pub capacity: u32,
}

impl Latency {
    /// What every reply takes at a time after the start.
    pub fn base_at(&self, now: Duration) -> Duration {
        in_force(&self.steps, now).unwrap_or(self.base)
    }

    /// How long the reply to request `number` takes where nothing else is asked: a function of its
    /// arguments alone.
    pub fn alone(&self, seed: u64, number: u64, now: Duration) -> Duration {
        let jitter = Rng::new([seed, 0x1a7e, number, 0]).fraction();
        self.base_at(now) + self.jitter.mul_f64(jitter)
    }
}

/// What the last step before `now` says.
pub(super) fn in_force<T: Copy>(steps: &[(Duration, T)], now: Duration) -> Option<T> {
    steps.iter().rev().find(|(after, _)| *after <= now).map(|(_, value)| *value)
}

/// The requests under way. Beyond the capacity each waits for its turn, so that no concurrency gets
/// more than capacity / base replies in a second.
#[derive(Debug, Default)]
pub struct Load {
    under_way: u32,
}

impl Load {
    /// Counts a request in that takes `alone` by itself, and gives how long it takes now. Whoever
    /// enters [leaves](Self::leave).
    pub fn enter(&mut self, latency: &Latency, alone: Duration, now: Duration) -> Duration {
        self.under_way += 1;
        let waiting = match latency.capacity {
            0 => 0,
            capacity => self.under_way.saturating_sub(capacity),
        };
        alone + latency.base_at(now) * waiting / latency.capacity.max(1)
    }

    /// Counts a request out.
    pub fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
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
    fn a_reply_takes_the_base_of_its_time_and_some_chance() {
        let latency = latency();
        for (at, base) in
            [(0, SECOND / 10), (9, SECOND / 10), (10, SECOND), (19, SECOND), (20, Duration::ZERO)]
        {
            let drawn: Vec<_> =
                (0..200).map(|number| latency.alone(7, number, at * SECOND) - base).collect();
            assert!(drawn.iter().all(|&more| more < latency.jitter));
            assert!(
                drawn.iter().any(|&more| more > latency.jitter * 9 / 10),
                "by chance: {drawn:?}"
            );
            assert_eq!(
                drawn,
                (0..200)
                    .map(|number| latency.alone(7, number, at * SECOND) - base)
                    .collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn no_concurrency_gets_more_replies_than_the_capacity_gives() {
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
        let boundless = Latency { capacity: 0, ..latency.clone() };
        let mut load = Load::default();
        assert!(
            (0..99).all(|_| load.enter(&boundless, latency.base, Duration::ZERO) == latency.base)
        );
    }
}
