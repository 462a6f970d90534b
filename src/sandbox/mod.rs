//! The API simulator: Genesys Cloud and NICE CXone with their login, limits and error responses,
//! over data that a seed generates.
//!
//! A [`Region`] is a value without I/O or clock: the caller passes the time, so the loopback
//! [`Server`] and a simulation on virtual time get the same behaviour, and the same calls at the
//! same times get the same replies. It shares no code with the program but its settings, so that it
//! can be the oracle of the tests. Start reading at `region`.
//!
//! ```text
//!  request ─► Region::reply ─► oauth, tokens   which client is it?   ┐
//!                              limits          is there quota left?  ├─► error, as the API's
//!                              genesys, cxone  what does it ask for? ┘
//!                                └► records of the seed ─► renderer ─► json   the page
//! ```
//!
//! Two paths belong to the sandbox itself and need no token: `GET /sandbox/stats` returns
//! [`Stats`]; `GET /sandbox/truth?platform=&dataset=&from=&to=` returns every row of a dataset that
//! starts in the interval, byte for byte as in the pages, one per line. It defaults to the
//! conversations of Genesys Cloud.

pub(crate) mod behaviors;
mod cxone;
mod delivery;
mod drift;
mod error;
mod genesys;
mod json;
mod latency;
mod limits;
mod oauth;
mod region;
mod rng;
pub(crate) mod server;
mod settings;
mod time;
mod tokens;

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderValue, Response};

pub use self::{
    genesys::JobSettings,
    latency::Load,
    limits::{Stats, WindowUsage},
    region::Region,
    settings::Settings,
};
pub(crate) use self::{latency::Latency, server::Server};

/// The longest body of a request in bytes: longer ones are answered with 413.
pub(crate) const REQUEST_LIMIT: usize = 512_000;

const NDJSON: &str = "application/x-ndjson";

/// NDJSON in pieces of bounded size.
pub(crate) type Truth = Box<dyn Iterator<Item = Bytes> + Send>;

/// Sets a header whose value is a number or a constant text.
fn set(reply: &mut Response<Bytes>, name: &'static str, value: impl Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        reply.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
