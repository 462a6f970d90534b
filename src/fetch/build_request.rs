//! The HTTP request of a call.

use bytes::Bytes;
use http::{
    Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use url::Url;

use crate::{
    auth::{self, token::Token},
    catalog::ApiRequest,
    fetch::ApiClient,
    http::{address::may_download, error::RequestError},
    server_text::ServerText,
};

impl ApiClient {
    /// Builds the HTTP request of a call. Tokens are sent to the API's host only, and a request
    /// without a token only to where the API's results may be (G10).
    pub(super) fn build_request(
        &self,
        call: &ApiRequest,
        token: Option<&Token>,
    ) -> Result<Request<Bytes>, RequestError> {
        let api = &self.context.request.api;
        let url = api.join(&call.target).map_err(|error| {
            RequestError::Pagination(
                format!("`{}` is not a valid URL: {error}", ServerText::quote(&call.target)).into(),
            )
        })?;
        if url.origin() != api.origin() && (token.is_some() || !may_download(api, &url)) {
            return Err(RequestError::Pagination(
                format!(
                    "refused to send a request to {}, which the configuration does not name",
                    ServerText::quote(&url.origin().ascii_serialization())
                )
                .into(),
            ));
        }
        self.build_request_to(&url, call, token)
            .map_err(|error| RequestError::Malformed(error.into()))
    }

    fn build_request_to(
        &self,
        url: &Url,
        call: &ApiRequest,
        token: Option<&Token>,
    ) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(url.as_str())
            .header(ACCEPT, "application/json");
        if let Some(token) = token {
            let bearer = auth::bearer(&token.secret).map_err(|error| error.to_string())?;
            request = request.header(AUTHORIZATION, bearer);
        }
        let body = match &call.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(body).map_err(|error| error.to_string())
    }
}
