//! Why something was not had: what that means for its shard, or for the whole run.

use crate::{fetch::RunError, http::error::RequestError, sink::SinkError};

/// Why something was not had.
pub(crate) enum FetchError {
    /// It concerns the shard that it was for.
    Shard(ShardError),
    /// It ends the run.
    Run(RunError),
}

/// Why a shard is not fetched as it stands, and so what is to become of it.
pub(crate) enum ShardError {
    /// It is too big: bisect it.
    TooBig(String),
    /// Its pages are too large: ask for smaller ones.
    TooLarge,
    /// The job that they were of is no longer there: begin again.
    Gone(RequestError),
    /// It keeps failing: set it aside.
    Failed(RequestError),
    /// The platform cannot give it yet: leave it to another run.
    NotYet(RequestError),
    /// The credentials may not read the dataset: give that up.
    Denied(RequestError),
}

impl ShardError {
    /// What happened, for those who have no shard to care for.
    pub(crate) fn into_fault(self) -> RequestError {
        match self {
            Self::Gone(fault) | Self::Failed(fault) | Self::NotYet(fault) | Self::Denied(fault) => {
                fault
            }
            Self::TooBig(reason) => RequestError::Malformed(reason),
            Self::TooLarge => RequestError::Malformed("the page is too large".to_owned()),
        }
    }
}

impl FetchError {
    /// What happened, for those who have no shard to care for; or why nobody can be asked any more.
    ///
    /// # Errors
    /// With what ends the run.
    pub(crate) fn into_fault(self) -> Result<RequestError, RunError> {
        match self {
            Self::Shard(obstacle) => Ok(obstacle.into_fault()),
            Self::Run(run_error) => Err(run_error),
        }
    }
}

impl From<ShardError> for FetchError {
    fn from(obstacle: ShardError) -> Self {
        Self::Shard(obstacle)
    }
}

impl From<RunError> for FetchError {
    fn from(run_error: RunError) -> Self {
        Self::Run(run_error)
    }
}

impl From<SinkError> for FetchError {
    fn from(error: SinkError) -> Self {
        Self::Run(error.into())
    }
}
