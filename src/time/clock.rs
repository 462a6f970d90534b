//! The wall clock, read here alone.
//!
//! Durations of the run are `tokio::time::Instant`, which a simulation can pause; the date of today
//! is needed only to stamp ledger records, so it never takes part in a decision about rows.

use jiff::Timestamp;

/// The time of day, UTC.
#[allow(clippy::disallowed_methods)] // this is the one place
pub fn now() -> Timestamp {
    Timestamp::now()
}
