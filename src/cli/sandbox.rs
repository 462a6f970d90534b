//! `cxbackfill sandbox`.

use clap::Args;

use crate::{
    cli::{
        interrupted,
        table::{Column, Table},
    },
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
    sandbox::{
        Server,
        behaviors::{self, BehaviorKind},
    },
};

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// List the behaviours that `sandbox.odd` and `sandbox.hostile` can name, and exit
    #[arg(long)]
    behaviors: bool,
}

/// Serves the API simulator until the process is interrupted.
pub(super) async fn execute(overrides: &Overrides, args: &SandboxArgs) -> Result<ExitCode, Error> {
    if args.behaviors {
        say!("{}", behavior_table());
        return Ok(ExitCode::Complete);
    }
    let settings = config::load_sandbox(overrides)?;
    let port = settings.port;
    let server = Server::start(settings).await.map_err(|source| Error::Sandbox { port, source })?;
    sayln!("listening on {}", server.url().as_str().trim_end_matches('/'));
    interrupted().await.map_err(Error::Signals)?;
    server.stop().await;
    Ok(ExitCode::Complete)
}

/// Key, name and effect of every behaviour.
fn behavior_table() -> Table {
    let mut table = Table::new(&[Column::Left(0); 3]);
    for behavior in behaviors::all() {
        let key = match behavior.kind {
            BehaviorKind::Odd => "odd",
            BehaviorKind::Hostile => "hostile",
        };
        table.row([key, behavior.name, behavior.effect]);
    }
    table
}
