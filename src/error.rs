//! Why a run could not start, by who must act.

use crate::{
    commands::login::LoginError,
    config::ConfigError,
    exit_code::ExitCode,
    ledger::{LedgerError, reader::SnapshotError},
    platform::discovery::DiscoverError,
    sink::store::StoreError,
};

/// What ends the program before there is a report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong: its author acts.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger cannot be used, or belongs to another job.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger cannot be read.
    #[error(transparent)]
    History(#[from] SnapshotError),
    /// The output cannot be used.
    #[error(transparent)]
    Output(#[from] StoreError),
    /// The sandbox cannot listen.
    #[error(
        "the sandbox cannot listen on port {port}: {source}; choose another sandbox.port, or 0 for a free one"
    )]
    Sandbox {
        /// The port; 0 for any.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// Credentials or permissions do not do.
    #[error("{0}")]
    Credentials(String),
    /// There is no page to infer columns from.
    #[error("no columns can be inferred from the first page: {0}")]
    Page(String),
    /// The platform could not be asked to the end.
    #[error("{0}")]
    Stopped(String),
    /// The program does not hear that it is to end.
    #[error("interrupts are not heard: {0}")]
    Signals(std::io::Error),
    /// The platform does not tell its hosts.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// A user's login came to nothing.
    #[error("nobody is logged in: {0}")]
    Login(#[from] LoginError),
    /// There can be no HTTP client.
    #[error("HTTP cannot be set up: {0}; are the system's certificates in order?")]
    Http(#[from] reqwest::Error),
}

impl Error {
    /// The exit code: part of the outside of the program.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Ledger(LedgerError::Identity { .. }) => ExitCode::Usage,
            Self::Credentials(_) => ExitCode::Credentials,
            Self::Login(error) => error.exit_code(),
            Self::Discover(error) => error.exit_code(),
            _ => ExitCode::Fatal,
        }
    }
}
