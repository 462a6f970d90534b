//! Why the login of a user in a browser failed.

use std::{io, time::Duration};

use crate::{http::error::TokenError, server_text::ServerText};

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The port is in use.
    #[error(
        "cannot listen at {address} for the browser: {source}; end the program that uses the port, \
         or change auth.redirect_url"
    )]
    Listen {
        /// The address.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The browser did not return in time.
    #[error(
        "the browser did not return within {0:?}; run the command again, and log in before \
         auth.login_timeout ends"
    )]
    Timeout(Duration),
    /// The browser did not return in time, but answers came that are not to this login.
    #[error(
        "within {0:?} only answers came that do not carry the state of this login: they belong to \
         an older one, or are forged; run the command again"
    )]
    State(Duration),
    /// The user or the login host refused.
    #[error("the login host refused: {0}; check auth.client_id, auth.redirect_url and auth.scope")]
    Refused(ServerText),
    /// The code could not be exchanged for a token.
    #[error(
        "{0}; run the command again; if that does not help, check auth.client_id, \
         auth.client_secret and auth.cache"
    )]
    Token(#[from] TokenError),
    /// There is no randomness for the secrets of the login.
    #[error("the operating system provides no randomness: {0}")]
    Random(getrandom::Error),
}
