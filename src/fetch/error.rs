//! Why data were not fetched: an error of one shard, or an error that ends the run.

use actix::MailboxError;
use tokio::time::Instant;

use crate::{
    http::{error::RequestError, retry::Stop},
    sink::SinkError,
};

/// Why data were not fetched.
pub(crate) enum FetchError {
    /// It concerns one shard; the run goes on.
    Shard(ShardError),
    /// It ends the run.
    Run(RunError),
}

/// Why a shard was not fetched, and so what is done about it.
pub(crate) enum ShardError {
    /// The shard has too many rows for the platform: bisect it.
    ShardTooLarge(String),
    /// A page is too large: request smaller pages.
    PageTooLarge,
    /// The job cannot be had, and the query will do: request the shard by it.
    JobUnavailable(RequestError),
    /// The job or its result no longer exists: start over.
    ResultGone(RequestError),
    /// A page has the rows of an earlier one: start over once, then record it as failed.
    PageRepeated(RequestError),
    /// Rows may have moved from one page to another while they were paged: start over.
    PagesChanged(String),
    /// It keeps failing: record it as failed.
    Failed(RequestError),
    /// The platform does not have the data yet: fetch other shards, and this one from then on.
    NotBefore {
        /// When the platform may have the data.
        instant: Instant,
        /// What the platform says.
        error: RequestError,
    },
    /// The platform does not have the data yet: leave it to a later run.
    NotYetAvailable(RequestError),
    /// The credentials may not read the dataset: give the dataset up.
    Denied(RequestError),
    /// Every other shard of the dataset would fail alike in this run: give the dataset up.
    DatasetUnavailable {
        /// What the server says.
        error: RequestError,
        /// Why the dataset is given up, with the path and the error.
        reason: String,
    },
}

/// Why a fetcher ended before the planner ran out of shards.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run was asked to end.
    #[error("interrupted")]
    Interrupted,
    /// A request failed in a way that every other request would, too.
    #[error("{error}")]
    Stopped {
        /// What has to be mended.
        stop: Stop,
        /// The error of the request.
        error: RequestError,
    },
    /// The output cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// An actor ended while it was needed.
    #[error("an actor ended early: {0}; this is a bug, please report it")]
    Actor(String),
}

/// Why one attempt failed: `retry` decides about a request error, a run error ends the run.
pub(super) enum AttemptError {
    Request(RequestError),
    Run(RunError),
}

impl FetchError {
    /// Returns the error of the request, for callers that do not fetch a shard.
    ///
    /// # Errors
    /// [`RunError`] if no further request can succeed.
    pub(crate) fn into_request_error(self) -> Result<RequestError, RunError> {
        match self {
            Self::Shard(error) => Ok(error.into_request_error()),
            Self::Run(error) => Err(error),
        }
    }
}

impl ShardError {
    /// Returns the error of the request, for callers that do not fetch a shard.
    pub(crate) fn into_request_error(self) -> RequestError {
        match self {
            Self::JobUnavailable(error)
            | Self::ResultGone(error)
            | Self::PageRepeated(error)
            | Self::Failed(error)
            | Self::NotBefore { error, .. }
            | Self::NotYetAvailable(error)
            | Self::Denied(error)
            | Self::DatasetUnavailable { error, .. } => error,
            Self::ShardTooLarge(reason) => RequestError::Malformed(reason.into()),
            Self::PagesChanged(reason) => RequestError::Pagination(reason.into()),
            Self::PageTooLarge => RequestError::Malformed("the page is too large".into()),
        }
    }
}

impl From<ShardError> for FetchError {
    fn from(error: ShardError) -> Self {
        Self::Shard(error)
    }
}

impl From<RunError> for FetchError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<SinkError> for FetchError {
    fn from(error: SinkError) -> Self {
        Self::Run(error.into())
    }
}

impl From<MailboxError> for FetchError {
    fn from(error: MailboxError) -> Self {
        Self::Run(error.into())
    }
}

impl From<MailboxError> for RunError {
    fn from(error: MailboxError) -> Self {
        Self::Actor(error.to_string())
    }
}

impl From<RequestError> for AttemptError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<RunError> for AttemptError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}
