//! The answer of a token endpoint: a token that fits into a header, or an error in one line. The
//! first byte chooses the status.
#![no_main]

use bytes::Bytes;
use cxbackfill::testing::server_input::token_response;
use http::{HeaderValue, Response, header};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;

const STATUSES: [u16; 6] = [200, 201, 302, 400, 401, 503];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    let status = STATUSES[usize::from(*first) % STATUSES.len()];
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::copy_from_slice(body))
        .expect("a response");
    match token_response(&response) {
        Ok(token) => {
            let secret = token.secret.expose_secret();
            assert!(!secret.is_empty() && status < 300);
            HeaderValue::from_str(&format!("Bearer {secret}")).expect("a header");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && !said.contains(char::is_control), "{said:?}");
        }
    }
});
