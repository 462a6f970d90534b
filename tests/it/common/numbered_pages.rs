//! An API whose pages are requested by their number, in the process of the test.

use bytes::Bytes;
use cxbackfill::testing::{RequestError, Transport};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::Value;

/// Answers a query with the page of its number, from 1, and any other request with a token.
pub struct NumberedPages<F>(pub F);

impl<F: Fn(u64) -> Bytes + Send + Sync> Transport for NumberedPages<F> {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        let body = match serde_json::from_slice::<Value>(request.body()) {
            Ok(query) => self.0(query["paging"]["pageNumber"].as_u64().unwrap()),
            Err(_) => Bytes::from_static(br#"{"access_token":"t"}"#),
        };
        Box::pin(async { Ok(Response::new(body)) })
    }
}
