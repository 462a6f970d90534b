//! `cxbackfill` fetches months or years of contact-centre analytics through OAuth-protected,
//! rate-limited, paginated REST APIs and writes Parquet. It uses the whole quota and never exceeds
//! it, and it loses or doubles no row.
//!
//! ```text
//!                        GetToken{rejected}          Token
//!           ┌──────────────────────────────► TokenActor ──► token endpoint
//!           │                                (single flight: its mailbox queues callers)
//!  Next     │
//! Planner◄──┤ FetchActor × N ─permit──► RateLimit (governor + server window) ──► Transport ──► API
//!   │ Lease │     │    ▲                                         page bytes
//!   └──────►│     │    └─ Decision: retry · throttle · reauthenticate · split · give up · stop
//!  ▲ Ended  │     │ decode: bytes → RecordBatch of the rows that the shard owns
//!  └────────┘     ▼ Write / Commit (awaited: the only backpressure)
//!              SinkActor ──► Parquet file in the object store ──► ledger transaction
//! ```
//!
//! # Guarantees
//! Code and tests refer to them by these ids.
//! - **G1 cover**: committed, waiting, leased and failed intervals are disjoint and together make
//!   up the requested interval. A resume is a subtraction.
//! - **G2 one holder**: a shard has at most one lease, and a lease ends in exactly one way.
//! - **G3 commit**: the ledger records which files are about to be written, each file reaches its
//!   final name whole and synced, then one transaction records the shard: that is the commit point.
//!   A start removes only files whose intent is recorded and whose commit is not. What is replaced
//!   stays until everything that replaces it is there. A replacement without requests (compact,
//!   forget) is recorded whole before its renames, and completed by the next start, unless its
//!   files are lost.
//! - **G4 ownership**: a row belongs to the shard whose half-open interval holds its time. Within a
//!   shard, the newest copy of an id wins. No state is shared between shards, so results do not
//!   depend on timing.
//! - **G5 conservation**: rows received = written + not owned + duplicates + quarantined +
//!   forgotten, checked before each commit.
//! - **G6 rate limit**: no window of the limit's length sees more requests than the limit, retries
//!   and token requests included.
//! - **G7 single flight**: at most one token request is in flight, and each rejected token is
//!   refreshed once.
//! - **G8 bounded**: every queue, wait, retry, body and chain of pages has a limit, and so have
//!   memory and open files.
//! - **G9 no silent end**: every actor is awaited, and whatever is missing is named and makes the
//!   exit code non-zero.
//! - **G10 no secret leaves**: secrets are typed, never printed, and sent to no host that the
//!   configuration does not name.
//!
//! # Map
//! Folders import downwards only, in this order.
//!
//! | folder | what it holds |
//! |---|---|
//! | `cli` | one file per command: arguments in, printing out |
//! | `web` | the dashboard and the report: a front end for a browser |
//! | `commands` | what each command does, without a terminal; `run` builds the actors |
//! | `error`, `exit_code` | errors that end a command, and the table of exit codes |
//! | `config` | what the user typed, and how it becomes what the program needs |
//! | `platform` | everything that knows a vendor: hosts, header names, error codes |
//! | `fetch` | FetchActor: shards, pagination, requests with retries, asynchronous jobs |
//! | `sink` | SinkActor: Parquet files, the commit protocol, the output lock |
//! | `tables` | rows of a dataset to those of its flat tables, and back |
//! | `planning` | PlannerActor: the plan, shards and leases |
//! | `auth` | grants and token responses; `auth/token` holds TokenActor, refresh and cache |
//! | `decode` | page bytes to Arrow record batches |
//! | `privacy` | what is hidden of the rows before anything is written |
//! | `catalog` | datasets as data: endpoints, templates, schemas, and the built-in TOML files |
//! | `ledger` | the SQLite database of what is committed, failed and requested |
//! | `http` | transport, request errors, the retry decision; `http/rate_limit` holds the quota |
//! | `telemetry` | logging, spans, metrics |
//! | `sandbox` | the API simulator; it shares nothing with the program but its configuration |
//! | `time` | intervals and the wall clock |
//! | `server_text` | texts of servers as printable lines without secrets |
//! | `system` | worker threads, memory, open files, and facts about the process |
//!
//! # Glossary
//! - **dataset**: a kind of row that the platform offers, such as conversations; described in TOML.
//! - **endpoint**: one way to request a dataset: a paginated query, or an asynchronous job.
//! - **shard**: the rows of one dataset whose time lies in one interval; the unit of fetching.
//! - **lease**: the right to fetch a shard. Dropping it unfinished returns the shard to the
//!   planner.
//! - **partial commit**: the part of an open shard before a watermark, committed while the rest is
//!   still being fetched.
//! - **ledger**: the database beside the output that records every commit.
//! - **quarantine**: rows that cannot be decoded, kept as they came with the reason.
//! - **snapshot dataset**: a dataset without history, fetched as it is now, once a UTC day.
//! - **synthesized time**: the time given to rows that have none of their own.
//!
//! # Decisions
//! - **Why actix.** The user asked for actors. actix is stable and fast (half a microsecond a round
//!   trip) and only passively maintained, so it stands in four actors alone, each a thin shell
//!   around functions that do not know it.
//! - **Why SQLite for the ledger.** One file beside the output, transactions that survive a power
//!   loss, and a user can query it with any SQLite client.
//! - **Why no configuration framework.** figment is unmaintained, and the layers (defaults, file,
//!   source, `--set`) are a few functions that can name the line of a wrong value.
//! - **Why the secrets to hide are one set for the process.** Whatever a server says may quote them
//!   and may reach any log line, error or record. A set that had to be passed on would be forgotten
//!   somewhere; what reads this one is a single type, `ServerText`, and the writer of log lines.
//! - **Why Parquet files are never appended to.** A file becomes visible whole or not at all, so a
//!   kill at any instant leaves no torn file, and a refresh replaces files rather than rows.

#![warn(clippy::unwrap_used, unreachable_pub)]

mod auth;
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
mod privacy;
mod sandbox;
mod server_text;
mod sink;
mod system;
mod tables;
mod telemetry;
pub mod testing;
mod time;
mod web;

pub use cli::Cli;
pub use system::descriptors::raise_limit as raise_descriptor_limit;
