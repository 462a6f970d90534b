//! Parses the arguments, runs the command, and maps its result to an exit code.

use std::{num::NonZero, process::ExitCode, thread::available_parallelism};

use actix::System;
use clap::Parser;
use cxbackfill::{Cli, raise_descriptor_limit};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.init_logging();
    raise_descriptor_limit();
    // actors run on this thread, connections on a few worker threads, decoding and Parquet writing
    // on those of `system::blocking`, the rest on blocking threads: each thread keeps memory of its
    // own in most allocators
    let runtime = || {
        let cores = available_parallelism().map_or(2, NonZero::get);
        Builder::new_multi_thread()
            .enable_all()
            .worker_threads(cores.min(4))
            .max_blocking_threads(4)
            .build()
            .expect("the operating system refuses to start threads")
    };
    System::with_tokio_rt(runtime).block_on(cli.execute())
}
