//! The link to the next page, in a body or in a header `Link`: it leads to the API or nowhere
//! (G10).
#![no_main]

use cxbackfill::testing::server_input::{next_link, resolve_link};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|bytes: &[u8]| {
    let api: Url = "https://api.example/".parse().expect("a URL");
    let mut links = Vec::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        links.extend(next_link(&HeaderMap::from_iter([(http::header::LINK, value)])));
    }
    links.extend(str::from_utf8(bytes).map(str::to_owned));
    for link in links {
        if let Ok(target) = resolve_link(&api, "/v1/rows?page=1", &link) {
            let target: Url = target.parse().expect("a URL");
            assert_eq!(target.origin(), api.origin(), "{link}");
            assert!(target.username().is_empty() && target.password().is_none(), "{link}");
        }
    }
});
