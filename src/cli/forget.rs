//! `cxbackfill forget`.

use indicatif::HumanCount;

use crate::{
    cli::confirm,
    commands::forget::{ForgetPlan, ForgetRequest, ForgetTotals},
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["id", "condition"]))]
pub(super) struct ForgetArgs {
    /// The id of rows, such as a conversation id; can be given several times.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Rows that meet comparisons as of `export --where`, and every other row of their ids.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// The dataset [default: that of the job, if it is the only one].
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Prints what is to be forgotten, asks, and removes it.
pub(super) async fn execute(overrides: &Overrides, args: &ForgetArgs) -> Result<ExitCode, Error> {
    let scope = config::only(config::load_scopes(overrides)?)?;
    let request = ForgetRequest {
        dataset: args.dataset.clone(),
        ids: args.id.clone(),
        condition: args.condition.clone(),
    };
    let plan = ForgetPlan::prepare(&scope, &request).await?;
    if let Some(folder) = plan.unsearched {
        tell!(
            "warning: files in {folder}/ are not searched: delete them if they may hold such rows"
        );
    }
    let ForgetTotals { ids, rows, quarantined, shards } = plan.totals;
    let name = plan.dataset.name.clone();
    if ids == 0 && shards == 0 {
        sayln!("{name}: no row meets the condition");
        return Ok(ExitCode::Complete);
    }
    sayln!(
        "{name}: {} rows and {} quarantined rows of {}, in {} committed intervals",
        HumanCount(rows),
        HumanCount(quarantined),
        match ids {
            0 => "ids that were forgotten before".to_owned(),
            ids => format!("{} ids", HumanCount(ids)),
        },
        HumanCount(shards),
    );
    if !args.yes && !confirm::ask("remove them permanently?")? {
        sayln!("nothing was forgotten");
        return Ok(ExitCode::Complete);
    }
    plan.execute(&scope).await?;
    match ids {
        0 => sayln!("completed what was forgotten before"),
        ids => sayln!("forgot {} ids: no run brings their rows back", HumanCount(ids)),
    }
    Ok(ExitCode::Complete)
}
