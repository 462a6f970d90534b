//! The regions of Genesys Cloud and their domains, from the platform's own list
//! (<https://developer.genesys.cloud/platform/api/>).

/// Region → domain. The hosts are `api.{domain}` and `login.{domain}`.
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

/// The domain of a region given by its name or by its domain.
pub fn genesys_domain(region: &str) -> Option<&'static str> {
    GENESYS.iter().find(|(name, domain)| *name == region || *domain == region).map(|(_, domain)| *domain)
}

/// Every region's name, for messages.
pub fn genesys_names() -> String {
    GENESYS.map(|(name, _)| name).join(", ")
}
