//! Parses the arguments, runs the command, and maps its result to an exit code.

use std::process::ExitCode;

use actix::System;
use clap::Parser;
use cxbackfill::{Cli, init_logging};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    // actors run on this thread, connections on the worker threads, decoding and Parquet writing on
    // blocking threads
    let runtime = || {
        Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system refuses to start threads")
    };
    System::with_tokio_rt(runtime).block_on(cli.execute())
}
