//! placeholder
pub mod interval;
