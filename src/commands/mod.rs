//! What each command does, without a terminal: also the interface for other front ends.
//!
//! A function here takes a configuration and returns values; `cli` parses arguments and prints. Start with
//! [`run`], which builds the actors, awaits them and reports.

pub mod check;
pub mod datasets;
pub mod estimate;
pub mod hosts;
pub mod infer;
pub mod login;
pub mod probe;
pub mod remaining;
pub mod report;
pub mod run;
pub mod status;
pub mod verify;
