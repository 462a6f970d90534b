//! Helpers that several tests share: the real program (`binary`, `platform`), runs inside the
//! test's process (`environment`, `simulation`, `simulated_link`, `paged_api`), independent
//! readers.

pub mod binary;
pub mod committed_ids;
pub mod conservation;
pub mod crash_store;
pub mod delayed_region;
pub mod environment;
pub mod faulty_transport;
pub mod fixture;
pub mod flat_tables;
pub mod job_faults;
pub mod neighbours;
pub mod numbered_pages;
pub mod output_rows;
pub mod own_process;
pub mod paged_api;
pub mod pages;
pub mod platform;
pub mod reader;
pub mod request_recorder;
pub mod scenario;
pub mod scenario_rows;
pub mod simulated_link;
pub mod simulation;
pub mod stub_backfill;
pub mod stub_transport;
pub mod tally;
