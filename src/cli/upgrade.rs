//! `cxbackfill upgrade`.

use indicatif::{HumanBytes, HumanCount};

use crate::{
    cli::sources,
    commands::upgrade::{DatasetUpgrade, Upgrade},
    config::{self, BackfillScope, Overrides},
    error::Error,
    exit_code::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(super) struct UpgradeArgs {
    /// Rewrite the files of this dataset only; can be given several times.
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Only say what would be rewritten.
    #[arg(long)]
    dry_run: bool,
}

/// Prints what is rewritten of each source, then rewrites it.
pub(super) async fn execute(overrides: &Overrides, args: &UpgradeArgs) -> Result<ExitCode, Error> {
    let mut codes = Vec::new();
    for scope in &config::load_scopes(overrides)? {
        let source = scope.source.as_deref();
        sources::print_heading(source);
        let result = upgrade_source(scope, args).await.map(|()| ExitCode::Complete);
        codes.push(sources::exit_code(source, result));
    }
    Ok(ExitCode::of_all(&codes))
}

async fn upgrade_source(scope: &BackfillScope, args: &UpgradeArgs) -> Result<(), Error> {
    let upgrade = Upgrade::prepare(scope, &args.dataset, args.dry_run).await?;
    if let Some(layout) = upgrade.layout {
        sayln!("output.layout becomes {}", layout.name());
    }
    for dataset in &upgrade.datasets {
        sayln!("{}", text(dataset));
    }
    let files: u64 = upgrade.datasets.iter().map(|dataset| dataset.files).sum();
    upgrade.execute().await?;
    match (args.dry_run, files) {
        (true, _) => sayln!("nothing was rewritten: it was a dry run"),
        (false, 0) => sayln!("all files are as they should be"),
        (false, files) => sayln!("rewrote {} files", HumanCount(files)),
    }
    Ok(())
}

fn text(upgrade: &DatasetUpgrade) -> String {
    let DatasetUpgrade { name, dataset, versions, files, rows, bytes, .. } = upgrade;
    let Some(dataset) = dataset else {
        return format!("{name}: left alone, since the catalog has no such dataset");
    };
    let version = dataset.version;
    if *files == 0 {
        return format!("{name}: has version {version} already");
    }
    let what = format!(
        "{name}: {} files, {} rows, {}",
        HumanCount(*files),
        HumanCount(*rows),
        HumanBytes(*bytes)
    );
    let versions: Vec<_> = versions.iter().map(u32::to_string).collect();
    format!("{what} from version {} to {version}", versions.join(", "))
}
