//! What real servers were seen to do, by name: `[sandbox] odd = [...]` and `hostile = [...]`.
//!
//! A behaviour wraps the region: it sees every request before it is answered and every reply before
//! it is sent, and may change, replace or withhold both. Each file holds the behaviours of one
//! kind; a user selects them by name to see for himself what the program does about them.

mod hostile;
mod jobs;
mod outages;
mod replies;
mod waiting;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};

/// How the region answers a request without the behaviour.
pub(super) type Answer<'a> = &'a dyn Fn(&Request<Bytes>) -> Response<Bytes>;

/// A request that meets a behaviour.
pub(super) struct Exchange<'a> {
    /// The request.
    pub request: &'a Request<Bytes>,
    /// The number of requests of this path and method that the behaviour has met, this one
    /// included.
    pub nth: u64,
    /// The time since the region's start.
    pub now: Duration,
}

/// A behaviour of a server.
pub struct Behavior {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Whether the key is `odd` or `hostile`.
    pub kind: BehaviorKind,
    /// What the server does, in one sentence.
    pub effect: &'static str,
    apply: fn(&Exchange<'_>, Answer<'_>) -> Response<Bytes>,
}

/// Why a server behaves so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BehaviorKind {
    /// It has a bug, a limit or another dialect.
    Odd,
    /// It attacks its client, or was taken over by somebody who does.
    Hostile,
}

/// Every behaviour.
pub fn all() -> impl Iterator<Item = &'static Behavior> {
    [replies::ALL, waiting::ALL, outages::ALL, jobs::ALL, hostile::ALL].into_iter().flatten()
}

/// The behaviour of this kind and name.
pub(crate) fn find(kind: BehaviorKind, name: &str) -> Option<&'static Behavior> {
    all().find(|behavior| behavior.kind == kind && behavior.name == name)
}

impl std::fmt::Debug for Behavior {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The requests that each behaviour has met, by its name and their method and path.
#[derive(Debug, Default)]
pub(super) struct Met(BTreeMap<(&'static str, String), u64>);

impl Met {
    /// Counts a request of a behaviour.
    pub(super) fn count(&mut self, behavior: &'static Behavior, request: &Request<Bytes>) -> u64 {
        let call = format!("{} {}", request.method(), request.uri().path());
        let count = self.0.entry((behavior.name, call)).or_default();
        *count += 1;
        *count
    }
}

impl Behavior {
    /// Answers a request in the way of this behaviour.
    pub(super) fn apply(&self, exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
        (self.apply)(exchange, answer)
    }
}

/// A reply without headers and body.
fn bare(status: StatusCode) -> Response<Bytes> {
    let mut reply = Response::default();
    *reply.status_mut() = status;
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_behaviour_is_unique() {
        let mut names: Vec<_> = all().map(|behavior| behavior.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
