//! The quota: who may ask now (G6).
//!
//! One GCRA limiter, keyed and on tokio's clock, paces requests; what the server says of its window
//! corrects it and stops short of a full one; a throttle closes one gate a key for everybody; and
//! where no limit is published, requests in flight are limited instead. Every attempt pays, retries
//! and token calls too. How long a gate closes is decided in `retry`.
//!
//! Others with the same token are raced, not guessed at: what they leave is used while it is there.
//! `budget.share` is how a user leaves them a part.

pub mod concurrency_limit;
pub mod limiter;
pub mod server_window;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dashmap::DashMap;
use http::{HeaderMap, StatusCode};
use tokio::{
    sync::{Notify, OwnedMutexGuard},
    time::{Instant, sleep_until},
};

use self::{
    concurrency_limit::{Outcome, Pace},
    limiter::{Limiter, Record, TokioClock},
    server_window::{GRAIN, SHORTEST, Window},
};
pub use self::{limiter::Limit, server_window::Word};

/// What a limit counts: a credential and the platform's limit bucket, like `api` or `login`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The client whose quota is used.
    pub credential: Arc<str>,
    /// The limit of the platform that a request counts against.
    pub bucket: Arc<str>,
}

/// What is known of the quota before the first reply.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The limit of a bucket that has none of its own; none: no limit is published.
    pub limit: Option<Limit>,
    /// Buckets with a limit of their own.
    pub own: BTreeMap<Arc<str>, Limit>,
    /// Hundredths of every limit, learned ones too, that are used.
    pub share: u8,
    /// Requests of a key in flight at most, where no limit is published.
    pub in_flight: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self { limit: None, own: BTreeMap::new(), share: 100, in_flight: u32::MAX }
    }
}

/// Admits requests, in the order in which they ask.
pub struct Budget {
    terms: Terms,
    lanes: DashMap<Key, Arc<Lane>>,
    record: Record,
    clock: TokioClock,
}

/// The queue of one key.
struct Lane {
    /// Held by the one that waits. tokio's mutex is fair: first come, first served, and a thousand
    /// waiters cost one timer.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the one that waits when a reply has changed what it waits for.
    changed: Notify,
    /// Never held over an await.
    state: Mutex<State>,
}

/// Where one key stands.
struct State {
    /// When the gate opens again.
    opens: Option<Instant>,
    in_flight: u32,
    /// The limit, whole, and what keeps our share of it.
    limiter: Option<(Limit, Limiter)>,
    window: Option<Window>,
    /// Hundredths of both that are ours.
    share: u8,
    /// Binds where there is no limit.
    pace: Pace,
}

/// The right to be the next who pays.
#[must_use = "others wait as long as a turn lives"]
pub struct Turn<'a> {
    budget: &'a Budget,
    key: Key,
    lane: Arc<Lane>,
    _guard: OwnedMutexGuard<()>,
}

/// Leave to send one request. Hold it until the reply is there.
#[must_use = "a request is in flight as long as its permit lives"]
pub struct Permit {
    lane: Arc<Lane>,
    record: Record,
    clock: TokioClock,
    sent: Instant,
}

/// Who waits, and for what: an instant, or none where only a reply can help.
struct Refused(Option<Instant>);

impl Budget {
    /// A budget of these terms.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            lanes: DashMap::new(),
            record: Record::default(),
            clock: TokioClock(Instant::now()),
        }
    }

    /// Waits until `key` may send one request. Fair, and safe to drop while it waits.
    pub async fn admit(&self, key: &Key) -> Permit {
        self.turn(key).await.admit().await
    }

    /// Waits until nobody who came earlier waits for a permit of `key`. Nobody gets one before the
    /// turn is dropped, but by it.
    pub async fn turn(&self, key: &Key) -> Turn<'_> {
        let lane = self.lane(key);
        let guard = Arc::clone(&lane.turn).lock_owned().await;
        Turn { budget: self, key: key.clone(), lane, _guard: guard }
    }

    /// Closes the gate of `key` for everybody until `after` from now. Closing it again while it is
    /// closed only ever prolongs: a hundred throttled requests in flight cost one pause.
    pub fn close(&self, key: &Key, after: Duration) {
        let lane = self.lane(key);
        let mut state = lane.state();
        state.opens = state.opens.max(Some(Instant::now() + after));
    }

    fn lane(&self, key: &Key) -> Arc<Lane> {
        if let Some(lane) = self.lanes.get(key) {
            return Arc::clone(&lane);
        }
        Arc::clone(&self.lanes.entry(key.clone()).or_insert_with(|| {
            let limit = self.terms.own.get(&key.bucket).copied().or(self.terms.limit);
            let share = self.terms.share;
            let limiter =
                limit.map(|limit| (limit, limit.share(share).limiter(&self.record, self.clock)));
            let pace = Pace::new(self.terms.in_flight);
            let state =
                Mutex::new(State { opens: None, in_flight: 0, limiter, window: None, share, pace });
            Arc::new(Lane { turn: Arc::default(), changed: Notify::new(), state })
        }))
    }
}

impl Turn<'_> {
    /// Waits until one more request may go, and pays for it.
    pub async fn admit(&self) -> Permit {
        let Self { budget, key, lane, .. } = self;
        while let Err(Refused(until)) = lane.admit(key, budget.clock) {
            match until {
                Some(until) => {
                    tokio::select! { () = lane.changed.notified() => {}, () = sleep_until(until) => {} }
                }
                None => lane.changed.notified().await,
            }
        }
        let (lane, record) = (Arc::clone(lane), Arc::clone(&budget.record));
        Permit { lane, record, clock: budget.clock, sent: Instant::now() }
    }
}

impl Lane {
    fn admit(&self, key: &Key, clock: TokioClock) -> Result<(), Refused> {
        self.state().admit(key, clock)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets one request go, or says what stands in its way.
    fn admit(&mut self, key: &Key, clock: TokioClock) -> Result<(), Refused> {
        let now = Instant::now();
        if let Some(opens) = self.opens.filter(|&opens| opens > now) {
            return Err(Refused(Some(opens)));
        }
        if let Some(until) =
            self.window.and_then(|window| window.full_until(self.in_flight, self.share, now))
        {
            return Err(Refused(Some(until)));
        }
        match &self.limiter {
            Some((_, limiter)) => {
                limiter.check_key(key).map_err(|refused| Refused(Some(clock.instant(&refused))))?;
            }
            None if !self.pace.admits(self.in_flight) => return Err(Refused(None)),
            None => {}
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Takes in what the server says of its window, and whether it is news.
    fn hear(&mut self, word: Word, per: Duration, sent: Instant, now: Instant) -> bool {
        match &mut self.window {
            _ if per < SHORTEST => true,
            Some(window) => window.learn(word, per, sent, now),
            None => {
                self.window = Some(Window::new(word, per, sent, now));
                true
            }
        }
    }

    /// The limit that the server's word makes of the present one; none: it stays.
    ///
    /// A window cannot be shorter than its rest, which is rounded up to a second.
    fn corrected(&self, word: Word) -> Option<Limit> {
        let requests = NonZeroU32::new(word.allowed)?;
        let Some((limit, _)) = self.limiter else {
            return Some(Limit { requests, per: word.reset.max(GRAIN), burst: None });
        };
        let longer = word.reset >= limit.per + GRAIN;
        let per = if longer { word.reset } else { limit.per };
        Some(Limit { requests, per, ..limit }).filter(|new| *new != limit)
    }
}

impl Permit {
    /// Takes in what the reply says of the quota. A permit that is dropped without a reply says
    /// nothing, good or bad.
    pub fn answered(self, status: StatusCode, headers: &HeaderMap) {
        let now = Instant::now();
        let throttled =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let outcome = if throttled { Outcome::Throttled } else { Outcome::Answered };
        let mut state = self.lane.state();
        state.pace.ended(self.sent, now, outcome);
        let Some(word) = Word::read(headers) else { return };
        let limit = state.corrected(word);
        let per = limit
            .or(state.limiter.as_ref().map(|limiter| limiter.0))
            .map_or(word.reset, |limit| limit.per);
        if !state.hear(word, per, self.sent, now) {
            return;
        }
        if let Some(limit) = limit {
            tracing::info!(requests = limit.requests, per = ?limit.per, "the server's limit");
            state.limiter =
                Some((limit, limit.share(state.share).limiter(&self.record, self.clock)));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lane.state().in_flight -= 1;
        self.lane.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
