//! NICE CXone.
//!
//! `GET /data-extraction/v1/jobs` lists the jobs of a tenant with id and status only (public
//! OpenAPI document), so it does not tell who submitted one, or for which dates.

use crate::{
    auth::Grant,
    http::dialect::Dialect,
    platform::{Profile, Starter},
};

pub(crate) static PROFILE: Profile = Profile {
    name: "nice-cxone",
    default_api_version: Some("v34.0"),
    has_api_versions: true,
    dialect: &DIALECT,
    introspection: None,
    starter: Some(Starter {
        regions: "na1 or eu1",
        grant: "access-key",
        dataset: "contacts",
        access: "# An access key of a user who may read the datasets: My Profile > Security > Access Keys.\n",
        budget: "# No limit is published: the number of requests in flight adapts to the responses.\n\
                 requests = 0\n",
    }),
};

pub(crate) static DIALECT: Dialect = Dialect {
    error_reason: Some("icStatusDescription"),
    // beyond one job in 30 seconds a public client was answered 403, as for a missing permission
    busy_paths: &["/data-extraction/v1/jobs"],
    too_wide_messages: &["date range may not exceed"],
    ..Dialect::STANDARD
};

/// The token endpoint that takes an access key in place of a user's name and password.
pub(super) const PASSWORD_PATH: &str = "/auth/token";
/// The regional token endpoint that takes an access key as JSON.
pub(super) const ACCESS_KEY_PATH: &str = "/authentication/v1/token/access-key";
/// The endpoint that renews tokens of an access key.
pub(super) const ACCESS_KEY_REFRESH_PATH: &str = "/public/authentication/v1/refresh";
/// Field names of the responses of [`ACCESS_KEY_REFRESH_PATH`].
pub(super) const ACCESS_TOKEN_FIELD: &str = "token";
pub(super) const LIFETIME_FIELD: &str = "tokenExpirationTimeSec";
pub(super) const REFRESH_TOKEN_FIELD: &str = "refreshToken";

/// The domains of the platform. An issuer in one of them may name hosts in the others.
pub(super) const DOMAINS: [&str; 2] = ["niceincontact.com", "nice-incontact.com"];

/// The issuer's document with the token endpoint.
pub(super) const OPENID_CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// The issuer's document with the API of a tenant.
pub(super) const TENANT_CONFIGURATION_PATH: &str = "/.well-known/cxone-configuration";

/// The API and the login host of an area such as `na1`. `None` if `area` is not a valid part of a
/// host name; there is no complete list of areas. An access key as JSON is accepted by the area's
/// own login host only.
pub(super) fn hosts(area: &str, grant: &Grant) -> Option<[String; 2]> {
    let login = match grant {
        Grant::AccessKey(_) => format!("https://{area}.nice-incontact.com"),
        _ => "https://cxone.niceincontact.com".to_owned(),
    };
    is_area(area).then(|| [api_host(area), login])
}

/// Whether `area` is a part of a host name.
pub(super) fn is_area(area: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=32).contains(&area.len())
        && area.bytes().all(|byte| is_alphanumeric(byte) || byte == b'-')
        && !area.starts_with('-')
        && !area.ends_with('-')
}

/// The API of an area.
pub(super) fn api_host(area: &str) -> String {
    format!("https://api-{area}.niceincontact.com")
}
