//! The rate-limit headers of a response: what the server says of its window.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::http::{dialect::Dialect, error::header};

/// A longer `reset` is not believed: for such a wait the server sends a 429 with `Retry-After`.
const LONGEST_RESET: Duration = Duration::from_secs(3_600);

/// The rate-limit headers of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimitHeaders {
    /// Requests that a window allows.
    pub allowed: u32,
    /// Requests of this window so far, those of other clients with the same credential included.
    pub count: u32,
    /// The remaining time of the window, rounded up to whole seconds.
    pub reset: Duration,
}

impl RateLimitHeaders {
    /// Reads the headers of a response. `None` if they are missing or implausible.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, dialect: &Dialect) -> Option<Self> {
        let names = dialect.rate_limit?;
        let number = |name: &str| header(headers, name)?.trim().parse::<u32>().ok();
        let headers = Self {
            allowed: number(names.allowed).filter(|&allowed| allowed > 0)?,
            count: number(names.count)?,
            reset: Duration::from_secs(number(names.reset)?.into()),
        };
        // what was served was within the limit
        let is_contradiction = status.is_success() && headers.count > headers.allowed;
        let is_plausible = headers.reset <= LONGEST_RESET && !is_contradiction;
        is_plausible.then_some(headers)
    }
}
