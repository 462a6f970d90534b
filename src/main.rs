//! Parses the arguments, runs the command, and maps its result to an exit code.

use std::process::ExitCode;

use actix::System;
use clap::Parser;
use cxbackfill::{Cli, init_logging, raise_descriptor_limit};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    raise_descriptor_limit();
    // actors run on this thread, connections on the worker threads, decoding and Parquet writing on
    // blocking threads
    let runtime = || {
        Builder::new_multi_thread()
            .enable_all()
            // each thread keeps memory of its own in most allocators; `blocking` uses as many at
            // once as there are cores, the others resolve names and lock files
            .max_blocking_threads(8)
            .build()
            .expect("the operating system refuses to start threads")
    };
    System::with_tokio_rt(runtime).block_on(cli.execute())
}
