//! Genesys Cloud.
//!
//! No request lists jobs of analytics or of usage: the public swagger of 2026 has the POST that
//! submits one, and GET and DELETE by its id.

use serde_json::Value;

use crate::{
    http::dialect::{Dialect, RateLimitHeaderNames},
    platform::{Identity, Introspection, Profile, Starter},
};

/// Regions and their domains, from <https://developer.genesys.cloud/platform/api/>.
const REGIONS: [(&str, &str); 18] = [
    ("us-east-1", "mypurecloud.com"),
    ("us-east-2", "use2.us-gov-pure.cloud"),
    ("us-west-2", "usw2.pure.cloud"),
    ("ca-central-1", "cac1.pure.cloud"),
    ("sa-east-1", "sae1.pure.cloud"),
    ("mx-central-1", "mxc1.pure.cloud"),
    ("ap-south-1", "aps1.pure.cloud"),
    ("ap-northeast-1", "mypurecloud.jp"),
    ("ap-northeast-2", "apne2.pure.cloud"),
    ("ap-northeast-3", "apne3.pure.cloud"),
    ("ap-southeast-1", "apse1.pure.cloud"),
    ("ap-southeast-2", "mypurecloud.com.au"),
    ("eu-west-1", "mypurecloud.ie"),
    ("eu-west-2", "euw2.pure.cloud"),
    ("eu-central-1", "mypurecloud.de"),
    ("eu-central-2", "euc2.pure.cloud"),
    ("eusc-de-east-1", "edee1.eusc-pure.cloud"),
    ("me-central-1", "mec1.pure.cloud"),
];

pub(crate) static PROFILE: Profile = Profile {
    name: "genesys-cloud",
    default_api_version: None,
    has_api_versions: false,
    dialect: &DIALECT,
    introspection: Some(&INTROSPECTION),
    starter: Some(Starter {
        regions: "eu-central-1 or us-east-1",
        grant: "client-credentials",
        dataset: "conversations",
        access: "# An OAuth client of Admin > Integrations > OAuth, with a role that has the permissions of the\n\
                 # datasets, such as analytics:conversationDetail:view.\n",
        budget: "# The limit of one token. \"60%\" leaves the rest to other programs with the same client.\n\
                 requests = 300\n\
                 per = \"60s\"\n\
                 share = \"100%\"\n",
    }),
};

pub(super) static DIALECT: Dialect = Dialect {
    correlation_id: Some("inin-correlation-id"),
    rate_limit: Some(RateLimitHeaderNames {
        allowed: "inin-ratelimit-allowed",
        count: "inin-ratelimit-count",
        reset: "inin-ratelimit-reset",
    }),
    address_denied_codes: &["ip.not.authorized"],
    too_large_codes: &["response.entity.too.large"],
    too_deep_messages: &["Pagination may not exceed"],
    too_wide_messages: &[
        "search interval as part of your query that does not exceed",
        "nterval may not exceed",
        "nterval must not exceed",
    ],
    ..Dialect::STANDARD
};

/// The token endpoint throttles with a 400 whose description starts with this.
pub(super) const TOKEN_THROTTLE_MESSAGES: &[&str] = &["rate limit exceeded"];

static INTROSPECTION: Introspection = Introspection {
    // never `users/me`: a client is not a user
    identity_paths: &["/api/v2/tokens/me", "/api/v2/organizations/me"],
    read_identity,
    limit_paths: &[
        "/api/v2/organizations/limits/namespaces/platform.api",
        "/api/v2/organizations/limits/namespaces/analytics",
    ],
    read_limits,
};

/// The API and the login host of a region, which is given by its name or by its domain.
pub(super) fn hosts(region: &str) -> Option<[String; 2]> {
    let (_, domain) = REGIONS.iter().find(|(name, domain)| *name == region || *domain == region)?;
    Some(["api", "login"].map(|host| format!("https://{host}.{domain}")))
}

/// The names of all regions.
pub(super) fn region_names() -> String {
    REGIONS.map(|(name, _)| name).join(", ")
}

fn read_identity(body: &Value) -> Identity {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let scopes = body["authorizedScope"].as_array().into_iter().flatten();
    Identity {
        client: text(&body["OAuthClient"]["id"]),
        organization: text(&body["organization"]["name"]).or_else(|| text(&body["name"])),
        scopes: scopes.filter_map(text).collect(),
    }
}

fn read_limits(body: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    for limit in body["entities"].as_array().into_iter().flatten() {
        let Some(key) = limit["key"].as_str() else { continue };
        if key.contains("rate") || key.contains("concurrent") {
            limits.push(format!("{key} {}", limit["value"]));
        }
    }
    limits
}
