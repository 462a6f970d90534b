//! `cxbackfill datasets`: what can be fetched.

use std::fs;

use assert_cmd::Command;
use tempfile::TempDir;

use crate::common::binary::{CREDENTIALS, SIMULATED, quiet_program};

/// A catalogue of two datasets. The second has no columns yet.
const OWN: &str = "
[dataset.calls]
version = 1
permission = 'calls:view'
id = ['no', 'at']
time = 'at'
lag = '30m'
columns = 'call'
query = { path = '/calls', query = { page = '{page}' }, rows = '/calls', paging = 'page-number', page_size = 50, widest = '12h' }
[dataset.teams]
version = 1
id = 'id'
time = 'snapshotTime'
snapshot = true
query = { path = '/teams', rows = '' }
[type.call]
no = 'int64'
at = 'timestamp'
talk = 'duration'
notes = 'map'
legs = 'list<leg>'
ignore = ['links']
[type.leg]
codes = 'list<string>'
ignore = ['href']
[personal.call]
identifiers = ['legs.codes']
free_texts = ['notes']
";

/// `cxbackfill datasets` with the catalogue [`OWN`].
fn datasets(folder: &TempDir, arguments: &[&str]) -> Command {
    fs::write(folder.path().join("own.toml"), OWN).unwrap();
    fs::write(
        folder.path().join("config.toml"),
        "[source]\nplatform = 'custom'\ncatalog = 'own.toml'\n",
    )
    .unwrap();
    let mut command = quiet_program(folder.path());
    command.arg("datasets").args(arguments);
    command
}

#[test]
fn datasets_lists_what_can_be_fetched() {
    let list = "dataset  rows             endpoints and rows per page  widest  permission\n\
        calls    by at            query page-number 50         12h     calls:view\n\
        teams    columns unknown  query one page               -\n";
    datasets(&TempDir::new().unwrap(), &[]).assert().success().stdout(list).stderr("");
    let all = quiet_program(TempDir::new().unwrap().path())
        .args(["datasets", "--json"])
        .output()
        .unwrap();
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert!(
        all.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "queue-members")),
        "{all}"
    );
}

#[test]
fn datasets_describes_one_dataset() {
    let folder = TempDir::new().unwrap();
    let sheet = "calls\n\
        \x20 version     1\n\
        \x20 rows        by at\n\
        \x20 id          no, at\n\
        \x20 time        at\n\
        \x20 lag         30m\n\
        \x20 permission  calls:view\n\
        \x20 query       GET /calls: page-number 50, 12h at once\n\
        \x20 ignored     links, 1 inside columns\n\
        \x20 columns\n\
        \x20   no       int64\n\
        \x20   at       timestamp\n\
        \x20   talk     double, the seconds of a duration\n\
        \x20   notes    map, personal: dropped by privacy.set\n\
        \x20   legs     list<struct>\n\
        \x20     codes  list<string>, personal: hashed by privacy.set\n\
        \x20   _extra   map\n";
    datasets(&folder, &["calls"]).assert().success().stdout(sheet).stderr("");
    let message = "error: datasets: there is no dataset `weather`: custom has calls, teams\n";
    for arguments in [&["weather"][..], &["--infer", "weather"], &["weather", "--json"]] {
        datasets(&folder, arguments).assert().code(2).stdout("").stderr(message);
    }
}

#[test]
fn a_dataset_without_columns_is_refused_by_run() {
    let folder = TempDir::new().unwrap();
    datasets(&folder, &[]).assert().success();
    let hosts = [
        "--set",
        "source.api_url=https://a.example",
        "--set",
        "source.login_url=https://a.example",
    ];
    let message = "error: --set: job.datasets: `teams` has no columns yet: infer them with `cxbackfill datasets --infer teams`\n";
    let mut run = quiet_program(folder.path());
    let given = [CREDENTIALS, [SIMULATED[1], SIMULATED[2]]].concat();
    run.args(["run", "--set", "job.datasets=['teams']"])
        .args(given.iter().flat_map(|given| ["--set", given]))
        .args(hosts)
        .assert()
        .code(2)
        .stdout("")
        .stderr(message);
}
