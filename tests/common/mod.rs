//! What several tests need.

pub mod crash;
pub mod simulation;
pub mod weather;
