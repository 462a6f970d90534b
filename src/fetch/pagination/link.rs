//! Where the link to the next page leads.

use url::Url;

use crate::{http::error::RequestError, server_text::ServerText};

/// Resolves the link to the next page: absolute, or relative to its own page like `?page=2` or
/// `/rows?page=2`. A link to the API's own host is followed to the configured scheme and port,
/// since a server behind a proxy does not know them.
///
/// # Errors
/// [`RequestError::Pagination`] if it is not a link, or leads to another host: the token would be
/// sent there (G10).
pub fn resolve(api: &Url, own: &str, link: &str) -> Result<String, RequestError> {
    let resolved = api.join(own).and_then(|own| own.join(link)).map_err(|error| {
        let reason = format!("`{}` is not a valid link: {error}", ServerText::quote(link));
        RequestError::Pagination(reason.into())
    })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g10_any_link_leads_to_the_configured_origin_or_nowhere() {
        let pieces = [
            "http:",
            "https:",
            "//",
            "/",
            "\\",
            "@",
            ":",
            ":443",
            "api.example",
            "evil.example",
            "API.EXAMPLE",
            "user:secret@",
            "?page=2",
            "#x",
            "..",
            "%2e%2e/",
            "[::1]",
            ".",
            " ",
            "\t",
            "javascript:",
            "ſ",
            "api.example.",
            "%00",
        ];
        let api: Url = "https://api.example/".parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(8288);
        let (mut followed, mut refused) = (0, 0);
        for _ in 0..50_000 {
            let link: String =
                (0..rng.usize(1..7)).map(|_| *rng.choice(&pieces).unwrap()).collect();
            match resolve(&api, "/v1/rows?page=1", &link) {
                Ok(target) => {
                    let target: Url = target.parse().unwrap();
                    assert_eq!(target.origin(), api.origin(), "{link}");
                    assert!(target.username().is_empty() && target.password().is_none(), "{link}");
                    followed += 1;
                }
                Err(error) => {
                    assert!(matches!(error, RequestError::Pagination(_)), "{link}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(followed > 1_000 && refused > 1_000, "{followed} {refused}");
    }
}
