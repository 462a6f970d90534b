//! Where each platform has its hosts.

use crate::auth::Grant;

/// Region → domain, from the platform's own list (<https://developer.genesys.cloud/platform/api/>).
const GENESYS: [(&str, &str); 18] = [
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

/// The API and the login of a Genesys Cloud region given by its name or by its domain.
pub(crate) fn genesys(region: &str) -> Option<[String; 2]> {
    let (_, domain) = GENESYS.iter().find(|(name, domain)| *name == region || *domain == region)?;
    Some(["api", "login"].map(|host| format!("https://{host}.{domain}")))
}

/// The API and the login of a CXone area like `na1`, which no list names in full; none if it is not
/// fit for a host's name. An access key alone is taken by the area's own login host.
pub(crate) fn cxone(area: &str, grant: &Grant) -> Option<[String; 2]> {
    let is_fit = !area.is_empty()
        && area.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let login = match grant {
        Grant::AccessKey(_) => format!("https://{area}.nice-incontact.com"),
        _ => "https://cxone.niceincontact.com".to_owned(),
    };
    is_fit.then(|| [format!("https://api-{area}.niceincontact.com"), login])
}

/// The name of every Genesys Cloud region, for messages.
pub(crate) fn genesys_names() -> String {
    GENESYS.map(|(name, _)| name).join(", ")
}
