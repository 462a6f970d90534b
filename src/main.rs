//! Arguments → configuration → run → exit code; nothing else.

use std::process::ExitCode;

use actix::System;
use clap::Parser;
use cxbackfill::{Cli, init_logging};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    // actors live on this thread, connections on the workers, decoding and Parquet beside them
    let runtime = || {
        Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the system refuses to start threads")
    };
    System::with_tokio_rt(runtime).block_on(cli.execute())
}
