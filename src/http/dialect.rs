//! What differs between platforms in response headers and error bodies.
//!
//! A [`Dialect`] is data. `platform` holds one for each platform, and the code that reads responses
//! takes the names and codes from it, so that no other module asks which platform it talks to.

use http::StatusCode;

/// Header names, error codes and error messages of one platform.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The header that carries the id of a request, for the platform's support. `None` if there is
    /// none.
    pub correlation_id: Option<&'static str>,
    /// The header that carries the reason of an error whose body has none. `None` if there is none.
    pub error_reason: Option<&'static str>,
    /// The headers that describe the current rate-limit window. `None` if the platform sends none.
    pub rate_limit: Option<RateLimitHeaderNames>,
    /// Beginnings of error messages that mean "slow down", beside what HTTP says itself.
    pub throttle_messages: &'static [&'static str],
    /// Paths where a 403 may mean "slow down", too.
    pub busy_paths: &'static [&'static str],
    /// Codes of a 401 that rejects the network address and not the token.
    pub address_denied_codes: &'static [&'static str],
    /// Codes of an error that says that the page is too large.
    pub too_large_codes: &'static [&'static str],
    /// Parts of the message of a 400 that says that paging reaches too deep into the result.
    pub too_deep_messages: &'static [&'static str],
    /// Parts of the message of a 400 that says that the interval is too wide.
    pub too_wide_messages: &'static [&'static str],
}

/// The names of the headers that describe a rate-limit window.
#[derive(Debug, Clone, Copy)]
pub struct RateLimitHeaderNames {
    /// Requests that a window allows.
    pub allowed: &'static str,
    /// Requests of this window so far.
    pub count: &'static str,
    /// Whole seconds until the window ends, rounded up.
    pub reset: &'static str,
}

/// What an error response means, whatever the platform calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Slow down.
    Throttle,
    /// Either to slow down or that a permission is missing; nothing tells them apart.
    BusyOrForbidden,
    /// Requests from this network address are not accepted.
    AddressDenied,
    /// The page is too large: request fewer rows.
    TooLarge,
    /// The query matches more rows than paging can reach.
    TooDeep,
    /// The interval is wider than the platform allows.
    TooWide,
    /// Only the status says more.
    Other,
}

impl Dialect {
    /// Plain HTTP: no headers and no codes beside the standard ones.
    pub const STANDARD: Self = Self {
        correlation_id: None,
        error_reason: None,
        rate_limit: None,
        throttle_messages: &[],
        busy_paths: &[],
        address_denied_codes: &[],
        too_large_codes: &[],
        too_deep_messages: &[],
        too_wide_messages: &[],
    };

    /// Whether a response says to slow down; the only function that decides this. `says_when` tells
    /// whether it has a `Retry-After`: without one, 403 is a refusal and 503 a failure of its
    /// endpoint. `message` is the error message of the body, or empty if nobody has read the body.
    pub(crate) fn is_throttle(&self, status: StatusCode, says_when: bool, message: &str) -> bool {
        match status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE if says_when => true,
            _ => self.throttle_messages.iter().any(|start| message.starts_with(start)),
        }
    }

    /// What an error response with this code and message means. See [`Self::is_throttle`].
    pub(crate) fn classify(
        &self,
        status: StatusCode,
        says_when: bool,
        code: &str,
        message: &str,
    ) -> ErrorKind {
        if self.is_throttle(status, says_when, message) {
            ErrorKind::Throttle
        } else if status == StatusCode::UNAUTHORIZED && self.address_denied_codes.contains(&code) {
            ErrorKind::AddressDenied
        } else if self.too_large_codes.contains(&code) {
            ErrorKind::TooLarge
        } else if status == StatusCode::BAD_REQUEST
            && self.too_deep_messages.iter().any(|part| message.contains(part))
        {
            ErrorKind::TooDeep
        } else if status == StatusCode::BAD_REQUEST
            && self.too_wide_messages.iter().any(|part| message.contains(part))
        {
            ErrorKind::TooWide
        } else {
            ErrorKind::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_400_that_calls_the_interval_too_wide_is_known_by_the_platforms_message() {
        let dialect =
            Dialect { too_wide_messages: &["nterval may not exceed"], ..Dialect::STANDARD };
        for (status, message, expected) in [
            (400, "Interval may not exceed 7 days", ErrorKind::TooWide),
            (500, "Interval may not exceed 7 days", ErrorKind::Other),
            (400, "the interval is not valid", ErrorKind::Other),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                dialect.classify(status, false, "", message),
                expected,
                "{status} {message}"
            );
        }
    }

    #[test]
    fn a_throttle_is_known_by_its_status_its_retry_after_or_the_platforms_message() {
        let dialect = Dialect { throttle_messages: &["slow down"], ..Dialect::STANDARD };
        for (status, says_when, message, expected) in [
            (429, false, "", true),
            (503, true, "", true),
            (503, false, "", false),
            (403, true, "", true),
            (403, false, "", false),
            (400, false, "slow down, please", true),
            (400, false, "please slow down", false),
            (500, true, "", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let is_throttle = dialect.is_throttle(status, says_when, message);
            assert_eq!(is_throttle, expected, "{status} {says_when} {message}");
        }
    }
}
