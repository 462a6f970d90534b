//! Requests over HTTP: sending them, classifying what goes wrong, and when to send.
//!
//! [`transport`] sends one request and never retries; [`error`] says what went wrong with it;
//! [`retry`] is the only place that decides what to do about an error; [`rate_limit`] admits
//! requests so that no window exceeds the quota (G6). What differs between platforms comes in as a
//! [`dialect::Dialect`]. Start reading with [`retry`].

pub(crate) mod address;
mod connection_error;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod link_header;
mod proxy;
pub(crate) mod rate_limit;
pub(crate) mod retry;
pub(crate) mod retry_after;
pub(crate) mod throttle;
pub(crate) mod transport;
