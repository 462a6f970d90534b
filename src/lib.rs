//! `cxbackfill` pulls months or years of contact-centre analytics through OAuth-protected,
//! rate-limited, paginated REST APIs, and leaves Parquet. It uses the whole quota and never exceeds
//! it, and loses or doubles no row.
//!
//! ```text
//!                        GetToken{rejected}          Token
//!           ┌──────────────────────────────► TokenActor ──► login endpoint
//!           │                                (single flight: its mailbox is the waiting list)
//!  Next     │
//! Planner◄──┤ FetchActor × N ──permit──► Budget (governor + one gate) ──► Transport ──► API
//!   │ Lease │     │    ▲                                          page bytes
//!   └──────►│     │    └─ Decision: retry · throttle · reauthenticate · split · give up · stop
//!  ▲ Ended  │     │ decode: bytes → RecordBatch, rows the shard owns
//!  └────────┘     ▼ Write / Commit (awaited: the only backpressure)
//!              SinkActor ──► Parquet file in the object store ──► ledger transaction
//! ```
//!
//! # Guarantees
//! Code and tests name them by these ids.
//! - **G1 cover**: committed, waiting, leased and set aside are disjoint and make up what was requested.
//! - **G2 one holder**: a shard has at most one lease, and a lease ends in exactly one way.
//! - **G3 commit**: a file reaches its final name whole, then one ledger transaction records the shard.
//!   That is the commit point; a start sweeps files that no record names.
//! - **G4 ownership**: a row belongs to the shard that holds its start; in a shard the newest copy wins.
//! - **G5 conservation**: rows received = written + not owned + duplicates + quarantined.
//! - **G6 budget**: no window of the limit's length sees more requests than the limit.
//! - **G7 single flight**: at most one token request in flight, one refresh for a rejected generation.
//! - **G8 bounded**: every queue, wait, retry, body and chain of pages has a limit.
//! - **G9 no silent end**: every actor's life is awaited, and a gap makes the exit code non-zero.
//! - **G10 no secret leaves**: secrets are typed, never printed, and sent to no host that the
//!   configuration does not name.
//!
//! # Where to read what
//! Top down: [`cli`] reads arguments, [`config`] the file, [`run`] builds the actors, [`report`] sums
//! up; [`backlog`] says what is left to do, and [`estimate`] what that costs. [`planner`] hands out
//! [`shard`]s, [`fetch`] tells the story of one, [`token`] keeps the token, [`sink`] commits.
//! Beside a run, [`login`] brings a user's tokens, [`check`] tries what a run needs, [`survey`] asks the
//! platform what there is, [`describe`] says what can be fetched, [`infer`] what columns it has,
//! [`history`] reads the ledger, [`status`] sums it up, and [`verify`] holds the files against it.
//! Below them, without actors: [`retry`] decides about a [`fault`], [`budget`] admits, [`transport`] and
//! [`auth`] talk, [`place`] finds the hosts, [`rows`] decodes what [`catalog`] describes, [`part`] makes
//! files of it, [`output`] and [`ledger`] keep them, [`lock`] keeps others out, [`interval`] does the
//! arithmetic. [`sandbox`] plays the API.

#![warn(clippy::unwrap_used, unreachable_pub)]

mod auth;
mod blocking;
mod catalog;
mod cli;
mod commands;
mod config;
mod decode;
mod error;
mod exit_code;
mod fetch;
mod http;
mod ledger;
mod planning;
mod platform;
mod sandbox;
mod sink;
mod telemetry;
pub mod testing;
mod time;

pub use cli::Cli;
pub use telemetry::init as init_logging;
