//! The settings of a region.

use std::time::Duration;

use jiff::SignedDuration;
use secrecy::SecretString;

use crate::sandbox::{behaviors::Behavior, genesys::JobSettings, latency::Latency};

/// How a region behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port on 127.0.0.1 that a [`Server`](super::Server) listens on (0 = any free port).
    pub port: u16,
    /// The seed of the data, the tokens and all ids.
    pub seed: u64,
    /// The number of conversations (or contacts) that begin on each UTC day.
    pub conversations_per_day: u32,
    /// How long a token is valid. Clients are told whole seconds, rounded down.
    pub token_lifetime: Duration,
    /// API requests that a client may send in a window (0 = no limit and no rate-limit headers).
    pub requests: u32,
    /// The length of a rate-limit window.
    pub per: Duration,
    /// Whether the window slides: it holds the requests of the last `per` at any time. Else it
    /// begins with its first request, and the next one after its end.
    pub window_slides: bool,
    /// Changes of `requests`: the time after the start, and the new limit. Sorted by time.
    pub limit_changes: Vec<(Duration, u32)>,
    /// Requests per window that another client sends with the same token, evenly spread: they count
    /// against the limit.
    pub foreign_requests: u32,
    /// How long replies take.
    pub latency: Latency,
    /// The number of valid tokens of one client, at least 1. With one more the oldest is revoked.
    pub max_tokens: u32,
    /// The secret of every client. `None` if any non-empty secret is accepted.
    pub client_secret: Option<SecretString>,
    /// Whether a client credentials grant returns a refresh token too, as some gateways do.
    pub refresh_tokens: bool,
    /// The interval at which all access tokens are revoked (zero = never).
    pub revoke_every: Duration,
    /// The clock error of a [`Server`](super::Server), as its Date header shows it.
    pub clock_skew: SignedDuration,
    /// Permissions that clients do not have. For NICE CXone paths, such as
    /// `cxone:contacts/completed` and `cxone:data-extraction`.
    pub deny: Vec<String>,
    /// Answers every Nth authenticated request with 429 and `Retry-After: 1` (0 = never).
    pub throttle_every: u32,
    /// Answers every Nth authenticated request with 500 (0 = never).
    pub fail_every: u32,
    /// How asynchronous queries of Genesys Cloud behave.
    pub jobs: JobSettings,
    /// Whether conversations and contacts have new fields, values of other types than documented,
    /// and values in other forms.
    pub drift: bool,
    /// Whether conversations are spread unevenly: a few have thousands of segments, some have long
    /// notes, ids hardly ever repeat, and all are in one queue.
    pub skew: bool,
    /// Behaviours of real servers; the first is the outermost.
    pub behaviors: Vec<&'static Behavior>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 0,
            seed: 1,
            conversations_per_day: 500,
            token_lifetime: Duration::from_secs(24 * 60 * 60),
            requests: 300,
            per: Duration::from_secs(60),
            window_slides: false,
            limit_changes: Vec::new(),
            foreign_requests: 0,
            latency: Latency::default(),
            max_tokens: 10,
            client_secret: None,
            refresh_tokens: false,
            revoke_every: Duration::ZERO,
            clock_skew: SignedDuration::ZERO,
            deny: Vec::new(),
            throttle_every: 0,
            fail_every: 0,
            jobs: JobSettings::default(),
            drift: false,
            skew: false,
            behaviors: Vec::new(),
        }
    }
}
