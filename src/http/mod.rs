//! Requests over HTTP: sending them, classifying what goes wrong, and when to send.
//!
//! [`transport`] sends one request, [`error`] says what can go wrong with it, [`retry`] is the one place that
//! decides what to do about that, and [`rate_limit`] admits requests under the shared quota. Nothing here
//! knows a vendor or a dataset.

pub(crate) mod error;
pub(crate) mod rate_limit;
pub(crate) mod retry;
pub(crate) mod transport;
