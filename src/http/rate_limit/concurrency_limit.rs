//! How many requests may be in flight where no limit is published: additive increase,
//! multiplicative decrease.
//!
//! Without a clock of its own: it is told instants. A round is as long as it takes to answer as
//! many requests as may be in flight, all of them sent since it began. A round in which the server
//! says to slow down, or answers well above its moving average, halves the number, once; another
//! raises it by one, if that many were wanted.

use std::time::Duration;

use tokio::time::Instant;

/// Replies of a round at least: the mean of fewer says little.
const FEWEST: u32 = 4;
/// A mean latency so many times the average is well above it. Times the decrease it stays below 1:
/// a server that queues would else draw its average up from round to round.
const WELL_ABOVE: f64 = 1.5;
/// What a decrease leaves.
const DECREASE: f64 = 0.5;
/// How fast the average follows a latency that rises: slowly, or it would hide a queue that grows …
const RISE: Duration = Duration::from_secs(40);
/// … and one that falls.
const FALL: Duration = Duration::from_secs(1);
/// Differences below this are noise.
const NOISE: Duration = Duration::from_millis(10);

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// The server said to slow down.
    Throttled,
}

/// The number of requests that may be in flight.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    limit: u32,
    most: u32,
    /// The moving average of latency, in seconds, and when it was last told.
    average: Option<(f64, Instant)>,
    round: MeasurementRound,
}

#[derive(Debug, Clone, Default)]
struct MeasurementRound {
    /// Requests sent before do not count.
    since: Option<Instant>,
    replies: u32,
    /// Their latencies, summed.
    total: Duration,
    /// Whether as many were in flight as may be.
    full: bool,
}

impl ConcurrencyLimit {
    /// Begins with one, and never passes `most`.
    pub fn new(most: u32) -> Self {
        Self { limit: 1, most: most.max(1), average: None, round: MeasurementRound::default() }
    }

    /// Requests that may be in flight.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether one more may go while `in_flight` are unanswered.
    pub fn admits(&mut self, in_flight: u32) -> bool {
        self.round.full |= in_flight + 1 >= self.limit;
        in_flight < self.limit
    }

    /// Takes in what became of a request that went at `sent`. What it does not hear of is neither
    /// good nor bad.
    pub fn ended(&mut self, sent: Instant, now: Instant, outcome: Outcome) {
        if sent < *self.round.since.get_or_insert(sent) {
            return;
        }
        if outcome == Outcome::Throttled {
            return self.slow_down(now);
        }
        self.round.replies += 1;
        self.round.total += now.saturating_duration_since(sent);
        if self.round.replies >= self.limit.max(FEWEST) {
            self.end_round(now);
        }
    }

    fn end_round(&mut self, now: Instant) {
        let mean = self.round.total.as_secs_f64() / f64::from(self.round.replies);
        let average = self.average.map_or(mean, |(average, _)| average);
        if self.limit > 1 && mean > WELL_ABOVE * average + NOISE.as_secs_f64() {
            return self.slow_down(now);
        }
        self.follow(mean, now);
        self.limit = (self.limit + u32::from(self.round.full)).min(self.most);
        self.round = MeasurementRound { since: Some(now), ..MeasurementRound::default() };
    }

    fn slow_down(&mut self, now: Instant) {
        self.limit = ((f64::from(self.limit) * DECREASE) as u32).max(1);
        self.round = MeasurementRound { since: Some(now), ..MeasurementRound::default() };
    }

    /// Moves the average towards `mean`. A round that slowed down does not: it would excuse the next
    /// one. With one request in flight the latency is the link's own, whatever it was before.
    fn follow(&mut self, mean: f64, now: Instant) {
        let (before, at) = self.average.filter(|_| self.limit > 1).unwrap_or((mean, now));
        let inertia = if mean > before { RISE } else { FALL };
        let weight = 1.0 - (-(now - at).as_secs_f64() / inertia.as_secs_f64()).exp();
        self.average = Some((before + weight * (mean - before), now));
    }
}
