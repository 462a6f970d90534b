//! What differs between platforms in token requests and token responses.

use crate::http::dialect::Dialect;

/// The paths of a platform's login host and the field names of its token responses. `platform`
/// fills it in.
#[derive(Debug, Clone, Copy)]
pub struct TokenDialect {
    /// Headers and errors of the token endpoint.
    pub http: Dialect,
    /// The page where a user logs in.
    pub authorize_path: &'static str,
    /// The token endpoint of the standard grants.
    pub token_path: &'static str,
    /// The token endpoint of the grant `password`.
    pub password_path: &'static str,
    /// The token endpoint of the grant `access-key`.
    pub access_key_path: &'static str,
    /// The endpoint that takes the refresh tokens of the grant `access-key`.
    pub access_key_refresh_path: &'static str,
    /// Names of the field with the access token.
    pub access_token_fields: &'static [&'static str],
    /// Names of the field with the lifetime in seconds.
    pub lifetime_fields: &'static [&'static str],
    /// Names of the field with the refresh token.
    pub refresh_token_fields: &'static [&'static str],
}
