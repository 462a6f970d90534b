//! The settings of `[auth]`, checked.

use std::{path::PathBuf, time::Duration};

use url::Url;

use crate::auth::{Credentials, token::RenewalPolicy};

/// How tokens are requested and kept.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Who requests tokens, and how.
    pub credentials: Credentials,
    /// When a token is renewed.
    pub renewal: RenewalPolicy,
    /// The file that keeps tokens from run to run. `None` if they are not kept.
    pub cache: Option<PathBuf>,
}

/// How `cxbackfill login` uses the browser.
#[derive(Debug, Clone)]
pub struct BrowserSettings {
    /// Where the browser returns to: an address of this machine. Port 0 takes a free one.
    pub redirect: Url,
    /// How long the user may take.
    pub timeout: Duration,
    /// The page where the user logs in. `None` if it is that of the login host.
    pub authorize: Option<Url>,
    /// The scope to request. `None` means all that the client is registered for.
    pub scope: Option<String>,
}
