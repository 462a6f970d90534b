//! The errors that end a command before it has a result.

use crate::{
    auth::login_error::LoginError,
    config::ConfigError,
    exit_code::ExitCode,
    http::transport::TransportError,
    ledger::{LedgerError, reader::SnapshotError},
    platform::discovery::DiscoverError,
    sink::{RewriteError, SinkError, output_error::OutputError, store::StoreError},
    time::interval::Interval,
};

/// An error that ends a command. Its text says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger cannot be used, or belongs to another job.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The output cannot be used.
    #[error(transparent)]
    Output(#[from] StoreError),
    /// What a killed run left in the output cannot be cleaned up.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The files of the output and its ledger do not fit together.
    #[error(transparent)]
    Refused(#[from] OutputError),
    /// The sandbox cannot listen on its port.
    #[error(
        "the sandbox cannot listen on port {port}: {source}; choose another sandbox.port, or 0 for \
         a free one"
    )]
    Sandbox {
        /// The port; 0 is any free one.
        port: u16,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The address of the dashboard or of the metrics cannot be used.
    #[error(
        "{address} cannot be listened on: {source}; choose another address, or port 0 for a free one"
    )]
    Listen {
        /// The address; port 0 is any free one.
        address: std::net::SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The token of the dashboard or of the metrics cannot be used.
    #[error("{0}")]
    ListenToken(String),
    /// The credentials or the permissions are not sufficient.
    #[error("{0}")]
    Credentials(String),
    /// There is no gap to accept.
    #[error(
        "{dataset} has no gap within {interval}: `cxbackfill status` shows the failed and doubtful \
         intervals"
    )]
    NothingToAccept {
        /// Name of the dataset.
        dataset: String,
        /// The interval that was to be accepted.
        interval: Interval,
    },
    /// A file of the output is not the one that the ledger records.
    #[error(
        "{path} is not as the ledger records it: {reason}; compare the files with the ledger by \
        `cxbackfill verify`"
    )]
    NotAsRecorded {
        /// The path of the file.
        path: String,
        /// What differs.
        reason: String,
    },
    /// Exported rows cannot be written.
    #[error("the rows cannot be written to {target}: {source}")]
    Export {
        /// The file, or standard output.
        target: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A dialect of SQL cannot read the files where they are.
    #[error("{0}")]
    Views(String),
    /// There is no page to infer columns from.
    #[error("columns cannot be inferred: {0}")]
    Page(String),
    /// The platform stopped answering.
    #[error("{0}")]
    Stopped(String),
    /// Interrupts cannot be received.
    #[error("interrupts cannot be received: {0}")]
    Signals(std::io::Error),
    /// The hosts of the platform cannot be discovered.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The login of a user failed.
    #[error("login failed: {0}")]
    Login(#[from] LoginError),
    /// There is no HTTP client.
    #[error(transparent)]
    Http(#[from] TransportError),
}

impl From<RewriteError> for Error {
    fn from(error: RewriteError) -> Self {
        match error {
            RewriteError::Output(error) => error.into(),
            RewriteError::Sink(error) => error.into(),
        }
    }
}

impl Error {
    /// The exit code of a command that ends with this error.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Refused(_)
            | Self::Ledger(
                LedgerError::Identity { .. }
                | LedgerError::Policy { .. }
                | LedgerError::Layout { .. }
                | LedgerError::ChangingLayout
                | LedgerError::OlderColumns { .. }
                | LedgerError::Columns { .. },
            )
            | Self::Discover(DiscoverError::Tenant)
            | Self::Http(TransportError::Proxy { .. } | TransportError::CertificateFile { .. })
            | Self::Listen { .. }
            | Self::ListenToken(_)
            | Self::Views(_)
            | Self::NothingToAccept { .. } => ExitCode::Usage,
            Self::Discover(DiscoverError::Token(error))
                if error.permanent && !error.no_connection =>
            {
                ExitCode::Credentials
            }
            Self::Login(LoginError::Listen { .. } | LoginError::Random(_)) => ExitCode::Fatal,
            Self::Credentials(_) | Self::Login(_) => ExitCode::Credentials,
            _ => ExitCode::Fatal,
        }
    }
}
