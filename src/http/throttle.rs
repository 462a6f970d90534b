//! Which requests a throttle is about.

use http::StatusCode;

use crate::http::error::ErrorResponse;

/// Which requests a throttle is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThrottleScope {
    /// All that count against the same quota.
    Quota,
    /// Those to the same path.
    Endpoint,
}

impl ThrottleScope {
    /// The scope of a response that throttles: the credential's quota, unless its window has room
    /// or the status says that the service is not available.
    pub(crate) fn of(response: &ErrorResponse) -> Self {
        let has_room = response.window_is_full == Some(false);
        if has_room || response.status == StatusCode::SERVICE_UNAVAILABLE {
            Self::Endpoint
        } else {
            Self::Quota
        }
    }
}
