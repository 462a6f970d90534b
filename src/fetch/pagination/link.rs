//! Where the link to the next page leads.

use url::Url;

use crate::{http::error::RequestError, server_text::ServerText};

/// Resolves the link to the next page: absolute, or relative to its own page like `?page=2` or
/// `/rows?page=2`. A link to the API's own host is followed to the configured scheme and port, since
/// a server behind a proxy does not know them.
///
/// # Errors
/// [`RequestError::Pagination`] if it is not a link, or leads to another host: the token would be
/// sent there (G10).
pub(super) fn resolve(api: &Url, own: &str, link: &str) -> Result<String, RequestError> {
    let resolved = api.join(own).and_then(|own| own.join(link)).map_err(|error| {
        let reason = format!("`{}` is not a valid link: {error}", ServerText::quote(link));
        RequestError::Pagination(reason.into())
    })?;
    if resolved.origin() == api.origin() {
        return Ok(resolved.into());
    }
    if resolved.host() != api.host() || !matches!(resolved.scheme(), "http" | "https") {
        let origin = resolved.origin().ascii_serialization();
        let reason = format!(
            "the next page is said to be at {}, which the configuration does not name",
            ServerText::quote(&origin)
        );
        return Err(RequestError::Pagination(reason.into()));
    }
    let mut upgraded = api.clone();
    upgraded.set_path(resolved.path());
    upgraded.set_query(resolved.query());
    Ok(upgraded.into())
}
