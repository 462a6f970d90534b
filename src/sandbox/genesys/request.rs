//! What the bodies of several queries have in common.

use std::ops::Range;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};

use crate::sandbox::{
    error::ApiError,
    time::{DAY_MS, TimeRange, TimeRangeError},
};

/// The longest interval of a details job. Inferred: the platform does not document it.
pub(crate) const MAX_JOB_DAYS: i64 = 31;
const DEFAULT_PAGE_SIZE: i64 = 25;
const MAX_PAGE_SIZE: i64 = 100;
/// The number of results that a synchronous query can page through.
const MAX_RESULTS: i64 = 100_000;

/// The page that a synchronous query asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageRequest {
    page_size: Option<i64>,
    page_number: Option<i64>,
}

impl PageRequest {
    /// The positions of its rows in the results.
    pub(crate) fn rows(&self) -> Result<Range<usize>, ApiError> {
        let size = self.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        let number = self.page_number.unwrap_or(1);
        if !(1..=MAX_PAGE_SIZE).contains(&size) {
            return Err(invalid_value(format!("pageSize must be between 1 and {MAX_PAGE_SIZE}")));
        }
        if number < 1 {
            return Err(invalid_value("pageNumber must be at least 1".to_owned()));
        }
        let to = size.saturating_mul(number);
        if to > MAX_RESULTS {
            return Err(ApiError::bad_request(format!(
                "Pagination may not exceed {MAX_RESULTS} results."
            )));
        }
        let row = |n: i64| usize::try_from(n).unwrap_or(0);
        Ok(row(to - size)..row(to))
    }
}

/// The body of a request whose content type is JSON.
pub(crate) fn json_body(request: &Request<Bytes>) -> Result<&[u8], ApiError> {
    let media_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| value.starts_with("application/json")) {
        let message = "The content type is not supported: send application/json";
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported.media.type",
            message,
        ));
    }
    Ok(request.body())
}

/// Reads the body of a request.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let malformed = |_| {
        ApiError::bad_request(
            "The request could not be understood by the server due to malformed syntax.",
        )
    };
    serde_json::from_slice(body).map_err(malformed)
}

/// Reads an interval of at most `max_days` days.
pub(crate) fn interval(text: Option<&str>, max_days: i64) -> Result<TimeRange, ApiError> {
    let too_long = || {
        ApiError::bad_request(format!(
            "You must specify a search interval as part of your query that does not exceed {max_days} days."
        ))
    };
    let invalid = |error| match error {
        TimeRangeError::Time(_) => ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid.date",
            format!("Invalid interval: {error}"),
        ),
        TimeRangeError::NoSlash | TimeRangeError::Empty => {
            ApiError::bad_request(format!("Invalid interval: {error}"))
        }
    };
    let interval: TimeRange = text.ok_or_else(too_long)?.parse().map_err(invalid)?;
    if interval.length() > DAY_MS * max_days { Err(too_long()) } else { Ok(interval) }
}

/// 400 for a value that the platform does not accept.
pub(crate) fn invalid_value(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid.value", message)
}
