//! Which hosts the documents of an issuer may name.

use url::{Host, Url};

use crate::{http::transport::is_loopback_host, platform::cxone, server_text::ServerText};

/// Who publishes the hosts, and which hosts it may name.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its address.
    pub url: Url,
    /// Domains beside its own whose hosts it may name.
    pub domains: Vec<String>,
}

impl Issuer {
    /// Checks that credentials may be sent to `found`: it is in the issuer's own domain or in one
    /// that the configuration lists, and nothing is sent in the clear (G10).
    ///
    /// # Errors
    /// Why they may not.
    pub(super) fn check(&self, found: Url) -> Result<Url, String> {
        let is_safe =
            found.scheme() == "https" || found.scheme() == "http" && is_loopback_host(&found);
        if !is_safe {
            return Err(format!("credentials would be sent to {found} in the clear"));
        }
        if !self.may_name(&found) {
            return Err(format!(
                "it names {}, which is outside the issuer's domain; if that is right, add the \
                 domain to source.issuer_domains",
                ServerText::quote(found.host_str().unwrap_or_default())
            ));
        }
        Ok(found)
    }

    fn may_name(&self, found: &Url) -> bool {
        if found.host() == self.url.host() {
            return true;
        }
        let (Some(Host::Domain(own)), Some(Host::Domain(host))) = (self.url.host(), found.host())
        else {
            return false;
        };
        let is_platforms = cxone::DOMAINS.iter().any(|domain| is_within(own, domain));
        let of_platform = cxone::DOMAINS.iter().copied().filter(|_| is_platforms);
        let listed = self.domains.iter().map(String::as_str);
        listed.chain(of_platform).chain([own_domain(own)]).any(|domain| is_within(host, domain))
    }
}

/// The domain of a host: what follows its first label, unless that is a domain that anybody can
/// have a part of, such as `com` or `co.uk`.
fn own_domain(host: &str) -> &str {
    /// Second labels below which countries register names are short: `co`, `com`, `gov`.
    const LONGEST_REGISTRY: usize = 3;
    let Some((_, parent)) = host.split_once('.') else { return host };
    let labels: Vec<_> = parent.split('.').collect();
    let is_registry = match labels[..] {
        [_] => true,
        [second, country] => country.len() == 2 && second.len() <= LONGEST_REGISTRY,
        _ => false,
    };
    if is_registry { host } else { parent }
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer_at(url: &str, domains: &[&str]) -> Issuer {
        let domains = domains.iter().map(|&domain| domain.to_owned()).collect();
        Issuer { url: url.parse().unwrap(), domains }
    }

    #[test]
    fn g10_an_issuer_names_hosts_of_its_own_domain_or_of_the_configured_ones() {
        let cxone = "https://cxone.niceincontact.com";
        for (issuer, domains, found, expected) in [
            (cxone, &[][..], "https://api-na1.niceincontact.com", true),
            (cxone, &[], "https://na1.nice-incontact.com/token", true),
            (cxone, &[], "https://niceincontact.com.evil.example", false),
            (cxone, &[], "https://evilniceincontact.com", false),
            (cxone, &[], "https://192.0.2.7", false),
            (cxone, &[], "http://127.0.0.1:8080", false),
            (cxone, &["evil.example"], "https://a.evil.example", true),
            (cxone, &["evil.example", "x.example"], "https://a.evil.example", true),
            ("https://login.acme.example", &[], "https://api.acme.example", true),
            ("https://login.acme.example", &[], "https://acme.example", true),
            ("https://login.acme.example", &[], "https://api.niceincontact.com", false),
            ("https://acme.example", &[], "https://other.example", false),
            ("https://acme.example", &[], "https://api.acme.example", true),
            ("https://acme.co.uk", &[], "https://evil.co.uk", false),
            ("https://login.acme.co.uk", &[], "https://api.acme.co.uk", true),
            ("http://127.0.0.1:8080", &[], "http://127.0.0.1:9090", true),
            ("http://127.0.0.1:8080", &[], "https://example.com", false),
        ] {
            let issuer = issuer_at(issuer, domains);
            let checked = issuer.check(found.parse().unwrap());
            assert_eq!(checked.is_ok(), expected, "{issuer:?}: {checked:?}");
        }
    }
}
