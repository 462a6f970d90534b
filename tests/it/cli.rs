//! The real binary's messages and exit codes: what is wrong, where, and what would be right.

use std::{fs, net::TcpListener};

use cxbackfill::testing::{LEDGER, Snapshot, clock};
use jiff::ToSpan;
use tempfile::TempDir;

use crate::common::binary::{CREDENTIALS, SIMULATED, quiet_program};

/// A run with `arguments` and `job.toml` ends with 2 and `message`, before it writes anything.
pub fn refused(job: &str, arguments: &[&str], message: &str) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("job.toml"), job).unwrap();
    let mut command = quiet_program(folder.path());
    command.args(["run", "--config", "job.toml"]);
    // what has no default, and is not what the test is about
    let given = SIMULATED.into_iter().chain(CREDENTIALS).filter(|given| {
        let key = given.split(['.', '=']).nth(1).unwrap();
        !job.contains(&format!("{key} =")) && !job.starts_with("job =")
    });
    command.args(given.flat_map(|given| ["--set", given])).args(arguments);
    command.assert().code(2).stdout("").stderr(format!("error: {message}\n"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but job.toml");
}

#[test]
fn an_unknown_key_is_refused_with_the_known_ones() {
    refused(
        "[job]\nname = 'x'\n\n[fetch]\nactor = 3\n",
        &[],
        "job.toml:5: fetch.actor: unknown key `actor`, expected one of \
         `actors`, `shard`, `smallest_shard`, `ahead`, `strategy`, `attributes`, `jobs`, `lake_wait`, `page_size`, \
         `timeout`, `connect_timeout`, `max_body`; did you mean `actors`?",
    );
    refused(
        "",
        &["--set", "fetsch.actors=3"],
        "--set: fetsch: unknown key `fetsch`, expected one of \
         `job`, `source`, `auth`, `fetch`, `budget`, `retry`, `output`, `filter`, `privacy`, `sandbox`; did you mean `fetch`?",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_in_the_terms_of_the_file() {
    for (job, message) in [
        (
            "[fetch]\nactors = 'many'\n",
            "job.toml:2: fetch.actors: invalid type: string \"many\", expected a whole number, not below 0",
        ),
        (
            "[sandbox]\nport = 99999\n",
            "job.toml:2: sandbox.port: invalid value: integer `99999`, expected a whole number, 0 to 65535",
        ),
        (
            "[retry]\nattempts = 0\n",
            "job.toml:2: retry.attempts: invalid value: integer `0`, expected a whole number, 1 to 4294967295",
        ),
        (
            "[fetch]\nshard = 60\n",
            "job.toml:2: fetch.shard: invalid duration: expected \"auto\", or a string with a unit, such as \"1d\"",
        ),
        (
            "[fetch]\nmax_body = '5 apples'\n",
            "job.toml:2: fetch.max_body: `5 apples` is not a valid size: write it like \"64MiB\"",
        ),
        (
            "[auth]\nclient_secret = { evn = 'X' }\n",
            "job.toml:2: auth.client_secret: expected a string, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARGUMENT\", …] }",
        ),
        ("job = 3\n", "job.toml:1: job: invalid type: integer `3`, expected a section: [job]"),
        (
            "[job]\ndatasets = 3\n",
            "job.toml:2: job.datasets: invalid type: integer `3`, expected a list",
        ),
    ] {
        refused(job, &[], message);
    }
}

#[test]
fn an_invalid_time_is_refused_with_a_valid_example() {
    refused(
        "[job]\nfrom = 'tomorrow'\n",
        &[],
        "job.toml:2: job.from: `tomorrow` is not a valid time: write it like 2024-01-01T00:00:00Z, 2024-01-01, now-30m or today-7d",
    );
    refused(
        "",
        &["--set", "job.to=2024-13-01"],
        "--set: job.to: `2024-13-01` is not a valid time: write it like 2024-01-01T00:00:00Z, 2024-01-01, now-30m or today-7d",
    );
}

#[test]
fn an_empty_interval_is_refused_at_the_line_that_sets_it() {
    refused(
        "[job]\nfrom = '2024-01-02T00:00:00Z'\nto = '2024-01-02T00:00:00Z'\n",
        &[],
        "job.toml:3: job.to: the interval is empty: job.from, which is 2024-01-02T00:00:00Z, \
         must lie before job.to, which is 2024-01-02T00:00:00Z",
    );
    refused(
        "[job]\nfrom = '2024-02-01T00:00:00Z'\n",
        &[],
        "--set: job.to: the interval is empty: job.from, which is 2024-02-01T00:00:00Z, \
         must lie before job.to, which is 2024-01-11T00:00:00Z",
    );
}

#[test]
fn a_configuration_that_cannot_be_read_is_refused() {
    let folder = TempDir::new().unwrap();
    let message = "error: lost.toml: cannot be read: No such file or directory (os error 2); name another file with --config\n";
    quiet_program(folder.path())
        .args(["run", "--config", "lost.toml"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(message);
}

#[test]
fn invalid_toml_is_refused_at_its_line() {
    refused("[job]\nname = 'x'\nname = 'y'\n", &[], "job.toml:3: duplicate key");
}

#[test]
fn a_missing_secret_is_refused() {
    refused(
        "[auth]\nclient_id = 'x'\nclient_secret = { env = 'CXBACKFILL_TEST_UNSET' }\n",
        &[],
        "job.toml:3: auth.client_secret: the environment variable CXBACKFILL_TEST_UNSET is not set: set it, or add it to .env",
    );
    refused(
        "[auth]\nclient_secret = { file = 'lost.txt' }\n",
        &[],
        "job.toml:2: auth.client_secret: lost.txt cannot be read: No such file or directory (os error 2)",
    );
}

#[test]
fn an_unknown_region_is_refused_with_the_known_ones() {
    refused("[source]\nregion = 'x'\n", &[], &unknown_region("job.toml:2: source.region"));
}

pub fn unknown_region(place: &str) -> String {
    format!(
        "{place}: unknown region `x`: expected `sandbox` or one of \
         us-east-1, us-east-2, us-west-2, ca-central-1, sa-east-1, mx-central-1, ap-south-1, ap-northeast-1, \
         ap-northeast-2, ap-northeast-3, ap-southeast-1, ap-southeast-2, eu-west-1, eu-west-2, eu-central-1, \
         eu-central-2, eusc-de-east-1, me-central-1"
    )
}

#[test]
fn an_unknown_dataset_is_refused_with_the_known_ones() {
    refused(
        "[job]\ndatasets = ['conversations', 'weather']\n",
        &[],
        "job.toml:2: job.datasets: there is no dataset `weather`: genesys-cloud has audits, conversation-aggregates, \
         conversations, divisions, flow-aggregates, flows, groups, languages, presence-definitions, queue-aggregates, \
         queue-members, queues, skills, usage, user-aggregates, user-details, users, wrapup-codes",
    );
}

#[test]
fn g10_plain_http_is_refused_except_on_loopback() {
    refused(
        "[source]\napi_url = 'http://api.example.com'\nlogin_url = 'https://login.example.com'\n",
        &[],
        "job.toml:2: source.api_url: `http://api.example.com/` would send credentials unencrypted: use https",
    );
}

#[test]
fn an_invalid_or_incomplete_address_is_refused() {
    refused(
        "[source]\napi_url = 'api.example.com'\n",
        &[],
        "job.toml:2: source.api_url: `api.example.com` is not a valid URL: write it like https://api.example.com",
    );
    refused(
        "[source]\napi_url = 'https://api.example.com'\n",
        &[],
        "job.toml:2: source.api_url: give source.login_url too, or neither of the two to start the simulator",
    );
}

#[test]
fn g4_a_filter_that_replaces_pagination_keys_is_refused() {
    refused(
        "[filter.conversations]\nsegmentFilters = []\norder = 'desc'\n",
        &[],
        "job.toml:3: filter.conversations.order: the dataset conversations sets `order` itself: leave it out",
    );
}

#[test]
fn a_filter_of_a_dataset_that_is_not_fetched_is_refused() {
    refused(
        "[filter.calls]\nmediaTypeId = 4\n",
        &[],
        "job.toml:1: filter.calls: the job does not fetch `calls`: it fetches conversations",
    );
}

#[test]
fn a_malformed_set_is_refused_with_a_valid_example() {
    for set in ["fetch.actors", "fetch", ".actors", "fetch."] {
        let message = format!("--set {set}: expected section.key=value, such as fetch.actors=16");
        refused("", &["--set", set], &message);
    }
    refused(
        "",
        &["--set", "actors=3"],
        "--set actors: expected section.key=value, such as fetch.actors=16",
    );
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let message = "error: unrecognized subcommand 'fetch'\n\n\
        Usage: cxbackfill [OPTIONS] <COMMAND>\n\n\
        For more information, try '--help'.\n";
    quiet_program(TempDir::new().unwrap().path())
        .arg("fetch")
        .assert()
        .code(2)
        .stdout("")
        .stderr(message);
}

#[test]
fn a_wrong_secret_ends_with_3_and_is_not_printed() {
    let folder = TempDir::new().unwrap();
    let settings =
        ["--set", "sandbox.client_secret=right", "--set", "auth.client_secret=s3cret-and-wrong"];
    let ended = quiet_program(folder.path())
        .arg("run")
        .args(SIMULATED.iter().flat_map(|given| ["--set", given]))
        .args(settings)
        .assert()
        .code(3);
    let output = ended.get_output();
    let said = String::from_utf8_lossy(&output.stderr);
    let (port, id) = (between(&said, "127.0.0.1:", "/"), between(&said, "correlation id ", ")"));
    assert_eq!(
        said,
        format!(
            "error: no token from http://127.0.0.1:{port}/oauth/token: the server answered 400: \
             invalid_client: authentication failed (correlation id {id}); \
             check auth.client_id, auth.client_secret and source.region\n"
        )
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains("s3cret"));
}

/// What differs from run to run.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before)
        .and_then(|(_, rest)| rest.split_once(after))
        .map_or("", |(found, _)| found)
}

#[test]
fn a_port_in_use_ends_with_4() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = TcpListener::bind(taken.local_addr().unwrap()).unwrap_err();
    let number = taken.local_addr().unwrap().port();
    let port = format!("sandbox.port={number}");
    let message = format!(
        "error: the sandbox cannot listen on port {number}: {error}; choose another sandbox.port, or 0 for a free one\n"
    );
    quiet_program(TempDir::new().unwrap().path())
        .args(["sandbox", "--set", &port])
        .assert()
        .code(4)
        .stdout("")
        .stderr(message);
}

#[test]
fn help_lists_the_exit_codes() {
    let help = quiet_program(TempDir::new().unwrap().path()).arg("--help").assert().success();
    let said = String::from_utf8_lossy(&help.get_output().stdout)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let codes = "Exit codes: 0 complete, 1 complete with gaps, 2 configuration or usage, 3 credentials or permission, \
        4 any other error, 130 interrupted and resumable. \
        Several sources have one exit code: the first of 4, 2, 3, 130, 1 that any of them ended with.";
    assert!(said.contains(codes), "{said}");
}

#[test]
fn a_run_without_a_configuration_is_refused() {
    for command in ["run", "plan", "check", "status", "verify", "login", "upgrade", "ui", "report"]
    {
        let folder = TempDir::new().unwrap();
        let ended = quiet_program(folder.path()).arg(command).assert().code(2).stdout("");
        let said = String::from_utf8_lossy(&ended.get_output().stderr).into_owned();
        let expected = "error: config.toml: there is no such file in this folder: write one, or name \
            another with --config FILE; to try the simulator, add `--set source.region=sandbox ";
        assert!(said.starts_with(expected), "{command}: {said}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{command} wrote nothing");
    }
}

#[test]
fn credentials_without_a_region_do_not_start_the_simulator() {
    let folder = TempDir::new().unwrap();
    let set = [SIMULATED[1], SIMULATED[2], "auth.client_id=x", "auth.client_secret=y"];
    let mut run = quiet_program(folder.path());
    let ended = run.arg("run").args(set.iter().flat_map(|set| ["--set", set])).assert().code(2);
    let said = String::from_utf8_lossy(&ended.get_output().stderr).into_owned();
    assert!(said.starts_with("error: config.toml: source.region: missing: "), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_output_at_the_place_of_earlier_versions_is_refused() {
    let folder = TempDir::new().unwrap();
    let job = "[job]\nfrom = '2024-01-01T00:00:00Z'\nto = '2024-01-02T00:00:00Z'\n\
               datasets = ['skills']\n[source]\nregion = 'sandbox'\n[output]\npath = 'rows'\n";
    fs::create_dir_all(folder.path().join("jobs")).unwrap();
    fs::write(folder.path().join("jobs/job.toml"), job).unwrap();
    let run = |arguments: &[&str]| {
        let mut run = quiet_program(folder.path());
        run.args(["run", "--config", "jobs/job.toml"]).args(arguments).assert()
    };
    // an argument is relative to the working directory, as every path was in earlier versions
    run(&["--set", "output.path=rows"]).code(0);
    let refused = run(&[]).code(2).stdout("");
    let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    let expected = "error: jobs/job.toml:8: output.path: `rows` means jobs/rows, relative to the file \
        that contains it, but the folder rows in the working directory has the ledger of an earlier run";
    assert!(said.starts_with(expected), "{said}");
    assert!(!folder.path().join("jobs/rows").exists());
    fs::rename(folder.path().join("rows"), folder.path().join("jobs/rows")).unwrap();
    run(&[]).code(0);
}

#[test]
fn the_future_is_not_committed() {
    let folder = TempDir::new().unwrap();
    let now = clock::now();
    let to = format!("job.to={}", now + 96.hours());
    let set = ["source.region=sandbox", "job.from=now-1d", &to, "sandbox.requests=0"];
    let run = |command: &str| {
        let mut run = quiet_program(folder.path());
        let run = run.arg(command).args(set.iter().flat_map(|set| ["--set", set]));
        let ended = run.assert();
        let said = String::from_utf8_lossy(&ended.get_output().stderr).into_owned();
        let note = said.lines().find(|line| line.starts_with("note: ")).unwrap_or(&said);
        assert!(
            note.ends_with(" of conversations is not yet available: a later run fetches it"),
            "{command}: {said}"
        );
        ended
    };
    for command in ["check", "plan"] {
        run(command).code(0);
    }
    run("run").code(0);
    run("status");
    let ledger = Snapshot::read(&folder.path().join("out").join(LEDGER)).unwrap();
    let ends = ledger.datasets["conversations"].shards.iter().map(|shard| shard.interval.to_ms());
    let end = ends.max().unwrap();
    let until = clock::now().as_millisecond();
    assert!(
        (now.as_millisecond()..=until).contains(&end),
        "{end} is not between {now} and {until}"
    );
}
