//! From where the result of a job may be downloaded (G10).

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// From where an address can be reached, the widest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// This machine.
    Loopback,
    /// A private network, or the addresses by which machines of a cloud ask about themselves.
    Private,
    /// Everywhere.
    Public,
}

/// Whether a result that the API at `api` names may be downloaded from `url`, where the request has
/// no token. A server must not make this program ask machines that the server itself cannot reach,
/// nor downgrade it to plain HTTP: so `url` must have at least the reach of the API, and may be
/// plain HTTP only on this machine and if the API is, too.
pub(crate) fn may_download(api: &Url, url: &Url) -> bool {
    let is_encrypted = match url.scheme() {
        "https" => true,
        "http" => api.scheme() == "http" && reach(url) == Some(Reach::Loopback),
        _ => false,
    };
    is_encrypted && reach(url).is_some_and(|of_url| Some(of_url) >= reach(api))
}

/// `None` if the address has no host.
fn reach(url: &Url) -> Option<Reach> {
    Some(match url.host()? {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            let is_in = |zone: &str| {
                name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
            };
            match name {
                _ if is_in("localhost") => Reach::Loopback,
                _ if is_in("local") || is_in("internal") || !name.contains('.') => Reach::Private,
                _ => Reach::Public,
            }
        }
        Host::Ipv4(address) => reach_of_ipv4(address),
        Host::Ipv6(address) => reach_of_ipv6(address),
    })
}

fn reach_of_ipv4(address: Ipv4Addr) -> Reach {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    if address.is_loopback() || address.is_unspecified() {
        Reach::Loopback
    } else if address.is_private() || address.is_link_local() || is_shared || first == 0 {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_of_ipv6(address: Ipv6Addr) -> Reach {
    if let Some(address) = address.to_ipv4_mapped() {
        reach_of_ipv4(address)
    } else if address.is_loopback() || address.is_unspecified() {
        Reach::Loopback
    } else if address.is_unique_local() || address.is_unicast_link_local() {
        Reach::Private
    } else {
        Reach::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_not_downloaded_from_where_the_api_cannot_be() {
        let public = "https://api.example.com";
        let table = [
            (public, "https://storage.example.org/r?s=1", true),
            (public, "https://93.184.216.34/r", true),
            (public, "http://storage.example.org/r", false),
            (public, "http://127.0.0.1:8080/r", false),
            (public, "https://127.0.0.1/r", false),
            (public, "https://localhost/r", false),
            (public, "https://LOCALHOST./r", false),
            (public, "https://a.localhost/r", false),
            (public, "https://[::1]/r", false),
            (public, "https://[::ffff:127.0.0.1]/r", false),
            (public, "https://0.0.0.0/r", false),
            (public, "https://2130706433/r", false),
            (public, "https://10.1.2.3/r", false),
            (public, "https://172.16.0.1/r", false),
            (public, "https://192.168.0.1/r", false),
            (public, "https://100.64.0.1/r", false),
            (public, "https://169.254.169.254/latest/meta-data", false),
            (public, "https://metadata.google.internal/r", false),
            (public, "https://[fd00::1]/r", false),
            (public, "https://[fe80::1]/r", false),
            (public, "https://intranet/r", false),
            (public, "ftp://storage.example.org/r", false),
            (public, "file:///etc/passwd", false),
            ("http://127.0.0.1:1", "http://127.0.0.1:2/r", true),
            ("http://127.0.0.1:1", "http://10.0.0.1/r", false),
            ("http://127.0.0.1:1", "https://storage.example.org/r", true),
            ("https://127.0.0.1:1", "http://127.0.0.1:2/r", false),
            ("https://10.0.0.1", "https://10.0.0.2/r", true),
            ("https://10.0.0.1", "https://127.0.0.1/r", false),
        ];
        for (api, url, expected) in table {
            let [from, to] = [api, url].map(|url| url.parse().unwrap());
            assert_eq!(may_download(&from, &to), expected, "{api} {url}");
        }
    }
}
