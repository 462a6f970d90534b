//! `Retry-After`, alone and relative to a `Date`: a wait of at most a year. A zero byte separates
//! the two headers.
#![no_main]

use std::time::Duration;

use cxbackfill::testing::server_input::retry_after;
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0).map(HeaderValue::from_bytes);
    let mut headers = HeaderMap::new();
    if let Some(Ok(wait)) = parts.next() {
        headers.insert(header::RETRY_AFTER, wait);
    }
    if let Some(Ok(date)) = parts.next() {
        headers.insert(header::DATE, date);
    }
    let wait = retry_after(&headers).unwrap_or_default();
    assert!(wait <= Duration::from_secs(366 * 86_400), "{wait:?}");
});
