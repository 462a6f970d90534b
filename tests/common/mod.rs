//! What several tests need.

pub mod crash;
pub mod pages;
pub mod scenario;
pub mod simulation;
pub mod weather;
pub mod witness;
