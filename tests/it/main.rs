//! The integration tests: one binary, a module per topic.

mod common;

mod architecture;
mod backfill;
mod check;
mod cli;
mod concurrency_limit;
mod connections;
mod custom_platform;
mod dataset_info;
mod datasets;
mod exposed_secrets;
mod hostile_configuration;
mod http_errors;
mod incomplete_data;
mod ledger_versions;
mod login;
mod memory;
mod open_rows;
mod outages;
mod output_safety;
mod pagination;
mod quota;
mod rebuild;
mod recovery;
mod refresh;
mod run_outcome;
mod schema;
mod secrets;
mod server_behaviors;
mod signals;
mod simulation;
mod source_lists;
mod sources;
mod token_runs;
mod token_sources;
