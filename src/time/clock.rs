//! The only place that reads the wall clock.
//!
//! The wall clock dates ledger records and resolves relative times in the configuration. Durations
//! within a run are measured with `tokio::time::Instant`, which a simulation can pause.

use jiff::Timestamp;

/// The current time, UTC.
#[allow(clippy::disallowed_methods)] // this is the one place
pub fn now() -> Timestamp {
    Timestamp::now()
}
