//! Other pages of the same rows, for faults that move rows from page to page.

use bytes::Bytes;
use cxbackfill::testing::{Region, Settings};
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use serde_json::Value;
use tokio::time::Duration;

/// A region with the same rows that the faults ask for other pages, so that their requests do not
/// count against the quota of the program.
#[derive(Debug)]
pub struct Neighbours {
    region: Region,
    authorization: HeaderValue,
}

impl Neighbours {
    pub fn new(settings: &Settings) -> Self {
        let Settings { seed, conversations_per_day, drift, skew, .. } = *settings;
        let region = Region::new(Settings {
            seed,
            conversations_per_day,
            drift,
            skew,
            requests: 0,
            ..Settings::default()
        });
        let login = Request::post("/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from_static(
                b"grant_type=client_credentials&client_id=faults&client_secret=faults",
            ));
        let reply = region.reply(Duration::ZERO, &login.unwrap());
        let token: Value = serde_json::from_slice(reply.body()).unwrap();
        let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
        Self { region, authorization: HeaderValue::try_from(bearer).unwrap() }
    }

    pub fn reply(&self, mut request: Request<Bytes>) -> Response<Bytes> {
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        // always at the start: a token of this region does not expire
        self.region.reply(Duration::ZERO, &request)
    }
}
