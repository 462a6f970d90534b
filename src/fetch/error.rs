//! Why something was not had: what that means for its shard, or for the whole run.

use crate::{fetch::Halt, http::error::Fault, sink::SinkError};

/// Why something was not had.
pub enum Setback {
    /// It concerns the shard that it was for.
    Shard(Obstacle),
    /// It ends the run.
    Run(Halt),
}

/// Why a shard is not fetched as it stands, and so what is to become of it.
pub enum Obstacle {
    /// It is too big: bisect it.
    TooBig(String),
    /// Its pages are too large: ask for smaller ones.
    TooLarge,
    /// The job that they were of is no longer there: begin again.
    Gone(Fault),
    /// It keeps failing: set it aside.
    Hopeless(Fault),
    /// The platform cannot give it yet: leave it to another run.
    NotYet(Fault),
    /// The credentials may not read the dataset: give that up.
    Denied(Fault),
}

impl Obstacle {
    /// What happened, for those who have no shard to care for.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Gone(fault)
            | Self::Hopeless(fault)
            | Self::NotYet(fault)
            | Self::Denied(fault) => fault,
            Self::TooBig(reason) => Fault::Malformed(reason),
            Self::TooLarge => Fault::Malformed("the page is too large".to_owned()),
        }
    }
}

impl Setback {
    /// What happened, for those who have no shard to care for; or why nobody can be asked any more.
    ///
    /// # Errors
    /// With what ends the run.
    pub fn into_fault(self) -> Result<Fault, Halt> {
        match self {
            Self::Shard(obstacle) => Ok(obstacle.into_fault()),
            Self::Run(halt) => Err(halt),
        }
    }
}

impl From<Obstacle> for Setback {
    fn from(obstacle: Obstacle) -> Self {
        Self::Shard(obstacle)
    }
}

impl From<Halt> for Setback {
    fn from(halt: Halt) -> Self {
        Self::Run(halt)
    }
}

impl From<SinkError> for Setback {
    fn from(error: SinkError) -> Self {
        Self::Run(error.into())
    }
}
