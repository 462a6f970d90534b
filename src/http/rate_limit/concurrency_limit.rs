//! How many requests may be in flight if no limit is published: additive increase, multiplicative
//! decrease.
//!
//! The caller passes the time in. A round ends when as many requests have been answered as may be
//! in flight, all of them sent since the round began. If the server throttles, or if the mean
//! latency of a round is well above its moving average, the limit is halved, at most once a round.
//! Otherwise a round raises it by one, if that many requests were wanted.

use std::time::Duration;

use tokio::time::Instant;

/// The fewest responses of a round: the mean of fewer says little.
const FEWEST_RESPONSES: u32 = 4;
/// The mean latency of a round, relative to the average, from which on the limit is halved.
/// Multiplied by `DECREASE` it must be below 1; otherwise the average of a server that queues
/// requests would rise from round to round.
const WELL_ABOVE: f64 = 1.5;
/// The factor of a decrease.
const DECREASE: f64 = 0.5;
/// The time constant of the average while latency rises: long, so that a growing queue stands out.
const RISE: Duration = Duration::from_secs(40);
/// The time constant of the average while latency falls.
const FALL: Duration = Duration::from_secs(1);
/// Smaller differences of latency are ignored.
const NOISE: Duration = Duration::from_millis(10);

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With any response that is not a throttle.
    Answered,
    /// The server said to slow down.
    Throttled,
}

/// The number of requests that may be in flight.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    limit: u32,
    most: u32,
    /// The moving average of latency, in seconds, and when it was last updated.
    average: Option<(f64, Instant)>,
    round: MeasurementRound,
}

#[derive(Debug, Clone, Default)]
struct MeasurementRound {
    /// Requests that were sent before this do not count.
    since: Option<Instant>,
    responses: u32,
    /// The sum of their latencies.
    total: Duration,
    /// Whether the limit was reached.
    full: bool,
}

impl ConcurrencyLimit {
    /// Starts with one request in flight and never exceeds `most`.
    pub fn new(most: u32) -> Self {
        Self { limit: 1, most: most.max(1), average: None, round: MeasurementRound::default() }
    }

    /// The number of requests that may be in flight.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether one more request may be sent while `in_flight` are unanswered.
    pub fn admits(&mut self, in_flight: u32) -> bool {
        self.round.full |= in_flight + 1 >= self.limit;
        in_flight < self.limit
    }

    /// Learns from the response to a request that was sent at `sent`.
    pub fn ended(&mut self, sent: Instant, now: Instant, outcome: Outcome) {
        if sent < *self.round.since.get_or_insert(sent) {
            return;
        }
        if outcome == Outcome::Throttled {
            return self.slow_down(now);
        }
        self.round.responses += 1;
        self.round.total += now.saturating_duration_since(sent);
        if self.round.responses >= self.limit.max(FEWEST_RESPONSES) {
            self.end_round(now);
        }
    }

    fn end_round(&mut self, now: Instant) {
        let mean = self.round.total.as_secs_f64() / f64::from(self.round.responses);
        let average = self.average.map_or(mean, |(average, _)| average);
        if self.limit > 1 && mean > WELL_ABOVE * average + NOISE.as_secs_f64() {
            return self.slow_down(now);
        }
        self.update_average(mean, now);
        self.limit = (self.limit + u32::from(self.round.full)).min(self.most);
        self.round = MeasurementRound { since: Some(now), ..MeasurementRound::default() };
    }

    fn slow_down(&mut self, now: Instant) {
        self.limit = ((f64::from(self.limit) * DECREASE) as u32).max(1);
        self.round = MeasurementRound { since: Some(now), ..MeasurementRound::default() };
    }

    /// Moves the average towards `mean`. Rounds that halve the limit are left out, since they would
    /// hide the next one. With one request in flight, the mean replaces the average.
    fn update_average(&mut self, mean: f64, now: Instant) {
        let (before, at) = self.average.filter(|_| self.limit > 1).unwrap_or((mean, now));
        let time_constant = if mean > before { RISE } else { FALL };
        let weight = 1.0 - (-(now - at).as_secs_f64() / time_constant.as_secs_f64()).exp();
        self.average = Some((before + weight * (mean - before), now));
    }
}
