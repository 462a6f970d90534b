//! What each command does, without a terminal: also the interface for other front ends.
//!
//! A function here takes a configuration and returns values; it prints nothing, which is left to
//! `cli`. Errors that end a command are [`Error`](crate::error::Error). Start with [`run`], which
//! builds the actors, awaits them and reports, and with [`environment`], what a command acts on.

pub(crate) mod accept;
pub(crate) mod check;
pub(crate) mod compact;
mod course;
pub(crate) mod datasets;
pub(crate) mod drop;
pub(crate) mod environment;
pub(crate) mod estimate;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod gaps;
pub(crate) mod hosts;
pub(crate) mod infer;
pub(crate) mod init;
mod locked_output;
pub(crate) mod login;
mod memory_estimate;
pub(crate) mod new_fields;
pub(crate) mod output_check;
pub(crate) mod overview;
pub(crate) mod probe;
pub(crate) mod rebuild;
pub(crate) mod remaining;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod upgrade;
pub(crate) mod verify;
pub(crate) mod views;
