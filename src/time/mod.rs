//! Time: half-open intervals of data time, and the wall clock.
//!
//! Intervals never become empty, and no other module reads the wall clock. Start with
//! `interval.rs`.

pub(crate) mod clock;
pub(crate) mod interval;
