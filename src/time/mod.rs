//! Time: half-open intervals of data time, and the one place that reads the wall clock.

pub(crate) mod clock;
pub(crate) mod interval;
