//! What the sandbox plays of NICE CXone: discovery, and a door that refuses in its words.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{Region, Truth, error, oauth::TENANT};
use crate::interval::Interval;

/// The paths of its API.
pub(super) const API: &str = "/incontactapi/";

/// What `/.well-known/…` tells: where tokens are, and for a tenant where its API is.
pub(super) fn well_known(request: &Request<Bytes>) -> Response<Bytes> {
    let here = here(request);
    let query = request.uri().query().unwrap_or_default();
    let tenant = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "tenantId");
    match (request.uri().path(), tenant) {
        ("/.well-known/openid-configuration", _) => error::json(
            StatusCode::OK,
            &json!({
                "issuer": here,
                "authorization_endpoint": format!("{here}/auth/authorize"),
                "token_endpoint": format!("{here}/auth/token"),
            }),
        ),
        ("/.well-known/cxone-configuration", Some((_, tenant))) if tenant == TENANT => error::json(
            StatusCode::OK,
            &json!({"area": "na1", "api_endpoint": here, "domain": "niceincontact.com", "tenantId": TENANT}),
        ),
        _ => refusal(StatusCode::NOT_FOUND, "not_found", "there is no such tenant"),
    }
}

/// A request without a token that is good: 401; with one: the sandbox has no such data.
pub(super) fn refuse(known: bool) -> Response<Bytes> {
    match known {
        false => refusal(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is invalid or has expired"),
        true => refusal(StatusCode::NOT_FOUND, "not_found", "the sandbox does not play this path"),
    }
}

/// The rows of a dataset, see [`Region::truth_of`].
pub(super) fn truth(_: &Region, _: &str, _: Interval) -> Option<Truth> {
    None
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response<Bytes> {
    let body: Value = json!({"error": error, "errorDescription": description});
    error::json(status, &body)
}

/// Where the request was sent to, as far as it tells.
fn here(request: &Request<Bytes>) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or("127.0.0.1");
    format!("{}://{host}", request.uri().scheme_str().unwrap_or("http"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{fault::Refusal, sandbox::Settings};

    #[test]
    fn a_token_that_is_no_good_is_refused_in_the_words_of_cxone() {
        let region = Region::new(Settings::default());
        let ask = |token: &str| {
            let path = "/incontactapi/services/v34.0/contacts/completed";
            let request = Request::get(path).header("Authorization", format!("Bearer {token}")).body(Bytes::new());
            Refusal::read(&region.reply(Duration::ZERO, &request.unwrap()))
        };
        let refusal = ask("none");
        assert_eq!((refusal.status.as_u16(), refusal.code.as_str()), (401, "invalid_token"));
        assert!(refusal.message.contains("expired"));
        let form = "grant_type=password&username=u&password=p&client_id=c&client_secret=s";
        let request = Request::post("/auth/token").body(Bytes::from(form)).unwrap();
        let reply: Value = serde_json::from_slice(region.reply(Duration::ZERO, &request).body()).unwrap();
        assert_eq!(ask(reply["access_token"].as_str().unwrap()).status.as_u16(), 404);
    }
}
