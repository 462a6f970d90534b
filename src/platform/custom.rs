//! An API that only the configuration describes.

use crate::{
    http::dialect::Dialect,
    platform::{Profile, cxone, genesys},
};

pub(crate) static PROFILE: Profile = Profile {
    name: "custom",
    default_api_version: None,
    has_api_versions: true,
    dialect: &DIALECT,
    introspection: None,
    starter: None,
};

/// The headers and errors of all platforms: the API may be one of them behind a gateway.
static DIALECT: Dialect = Dialect {
    error_reason: cxone::DIALECT.error_reason,
    too_wide_messages: &[
        "that does not exceed",
        "nterval may not exceed",
        "nterval must not exceed",
        "ate range may not exceed",
        "ate range must not exceed",
    ],
    ..genesys::DIALECT
};
