//! Time: half-open intervals of data time, and the one place that reads the wall clock.

pub mod clock;
pub mod interval;
