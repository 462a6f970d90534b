//! The dashboard and the report: a front end beside `cli`, for a browser.
//!
//! One page (`page/`) shows an output and its runs. [`Dashboard`] serves it read-only, with the
//! data as JSON and their changes as server-sent events; [`report`] writes it as one file with its
//! data. A run never waits for either. Who may read is decided in [`access`]. Start with
//! [`dashboard`].

pub(crate) mod access;
mod changes;
mod connections;
mod dashboard;
mod metrics;
mod page;
pub(crate) mod report;
mod routes;
mod source;
mod updates;

pub(crate) use self::{dashboard::Dashboard, metrics::MetricsServer, source::Source};
