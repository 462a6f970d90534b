//! Keeps the overview of a source current for those who look, and for nobody else.
//!
//! While a browser listens, the ledger is read at most once a second. After a reading the run uses
//! fifty times its processor time before the next one, so that looking costs less than 2 % of a
//! run; a run that waits is read every ten seconds all the same. Every listener gets the whole
//! overview first, then what changed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{Notify, broadcast, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::summary::process_usage,
    system::blocking::offload_wait,
    web::{Source, changes::changes},
};

/// The shortest time between two readings.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The run works this many times as long as a reading took before the next one.
const PAUSE_FACTOR: u32 = 50;
/// The longest time between two readings, however little the run works.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often the processor time of the run is looked at.
const TICK: Duration = Duration::from_millis(250);
/// Changes that wait for a slow listener. One that misses more gets the whole overview again.
const WAITING_CHANGES: usize = 16;

/// The overview of one source, and who listens to its changes.
pub(super) struct Updates {
    source: Arc<Source>,
    latest: Mutex<Latest>,
    /// Only one reading goes on at a time.
    reading: tokio::sync::Mutex<()>,
    changes: broadcast::Sender<Arc<str>>,
    listener: Notify,
}

#[derive(Default)]
struct Latest {
    value: Arc<Value>,
    json: Arc<str>,
    /// Until when it is current enough. `None` if nothing was read yet.
    until: Option<Instant>,
}

/// What one browser is sent.
pub(super) struct Listening {
    updates: Arc<Updates>,
    changes: broadcast::Receiver<Arc<str>>,
}

/// An event of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The whole overview.
    Overview(Arc<str>),
    /// What changed since the last event.
    Change(Arc<str>),
}

impl Updates {
    pub(super) fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            latest: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            changes: broadcast::channel(WAITING_CHANGES).0,
            listener: Notify::new(),
        }
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Reads and sends changes while somebody listens, until `end`. Says in `ended` when the last
    /// change was sent.
    pub(super) async fn keep_current(&self, end: CancellationToken, ended: watch::Sender<bool>) {
        let work = async {
            loop {
                if self.changes.receiver_count() == 0 {
                    self.listener.notified().await;
                }
                let took = self.read().await.unwrap_or_default();
                self.pause(took).await;
            }
        };
        tokio::select! {
            () = end.cancelled() => {}
            () = work => {}
        }
        if self.changes.receiver_count() > 0 {
            // how the run ended
            let _ = self.read().await;
        }
        let _ = ended.send(true);
    }

    /// The overview as JSON, read again unless it is current enough.
    ///
    /// # Errors
    /// Why the ledger cannot be read.
    pub(super) async fn overview(&self) -> Result<Arc<str>, String> {
        let is_current = |latest: &Latest| latest.until.is_some_and(|until| Instant::now() < until);
        if !is_current(&self.latest()) {
            self.read().await?;
        }
        Ok(Arc::clone(&self.latest().json))
    }

    /// Listens to changes from now on.
    pub(super) fn listen(self: Arc<Self>) -> Listening {
        let changes = self.changes.subscribe();
        self.listener.notify_one();
        Listening { updates: self, changes }
    }

    /// Waits after a reading that `took` so long.
    async fn pause(&self, took: Duration) {
        sleep(SHORTEST_PAUSE).await;
        let work = took * PAUSE_FACTOR;
        if !self.source.is_run_here() {
            return sleep(work.saturating_sub(SHORTEST_PAUSE).min(LONGEST_PAUSE)).await;
        }
        let (start, (before, _)) = (Instant::now(), process_usage());
        let is_over = || process_usage().0 - before >= work.as_secs_f64();
        while start.elapsed() + SHORTEST_PAUSE < LONGEST_PAUSE && !is_over() {
            sleep(TICK).await;
        }
    }

    /// Reads the overview and sends what changed. Returns how long that took.
    async fn read(&self) -> Result<Duration, String> {
        let _reading = self.reading.lock().await;
        let (source, before) = (Arc::clone(&self.source), Arc::clone(&self.latest().value));
        let (value, json, change, took) = offload_wait(move || {
            let started = Instant::now();
            let value = source.overview_value().map_err(|error| error.to_string())?;
            let change = changes(&before, &value).map(|change| change.to_string());
            let json = Arc::<str>::from(value.to_string());
            Ok::<_, String>((Arc::new(value), json, change, started.elapsed()))
        })
        .await?;
        let pause = (took * PAUSE_FACTOR).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let mut latest = self.latest();
        let is_first = latest.until.is_none();
        *latest = Latest { value, json, until: Some(Instant::now() + pause) };
        if let Some(change) = change.filter(|_| !is_first) {
            // an error means that nobody listens
            let _ = self.changes.send(change.into());
        }
        Ok(took)
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    /// The whole overview, with which every stream begins.
    ///
    /// # Errors
    /// Why the ledger cannot be read.
    pub(super) async fn begin(&mut self) -> Result<Event, String> {
        self.updates.overview().await?;
        // under the lock, so that no change is missed or sent twice
        let latest = self.updates.latest();
        self.changes = self.updates.changes.subscribe();
        Ok(Event::Overview(Arc::clone(&latest.json)))
    }

    /// The next event. It never ends.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            match self.changes.recv().await {
                Ok(change) => return Event::Change(change),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let latest = self.updates.latest();
                    self.changes = self.updates.changes.subscribe();
                    return Event::Overview(Arc::clone(&latest.json));
                }
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
