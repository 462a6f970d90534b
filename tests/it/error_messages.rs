//! The likeliest errors of the real program, whole: each says what happened, where, and what to do.
//! Those of the configuration are in `cli`, those of certificates and proxies also in
//! `connections`.

use std::{fs, path::Path, thread::sleep, time::Duration};

use cxbackfill::testing::LEDGER;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::binary::{CREDENTIALS, SIMULATED, program, quiet_program, set};

/// Credentials, and few and short attempts.
const REAL: [&str; 6] = [
    CREDENTIALS[0],
    CREDENTIALS[1],
    "job.from=2024-01-01",
    "job.to=2024-01-02",
    "retry.attempts=1",
    "retry.first=1ms",
];

/// What differs from run to run, by what stands before it.
const VARYING: [(&str, &str); 6] = [
    ("127.0.0.1:", "PORT"),
    ("correlation id ", "ID"),
    ("process ", "NUMBER"),
    ("since ", "TIME"),
    ("failed to lookup address information: ", "WHY"),
    ("the server's clock is ", "N s"),
];

/// The text without what differs from run to run.
fn masked(text: &str, folder: &Path) -> String {
    let canonical = folder.canonicalize().unwrap();
    let mut masked = text.replace(canonical.to_str().unwrap(), "FOLDER");
    for (before, mask) in VARYING {
        let mut parts = masked.split(before);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let ends = |c: char| match mask {
                "WHY" => c == ';',
                _ => ",;)/ \n".contains(c),
            };
            let rest = match mask {
                // a difference of seconds, then the unit
                "N s" => part.split_once(" s").map_or("", |(_, rest)| rest),
                _ => part.find(ends).map_or("", |end| &part[end..]),
            };
            text.push_str(&format!("{before}{mask}{rest}"));
        }
        masked = text;
    }
    masked
}

/// The program in `folder` without the connections' variables of this process.
fn command(folder: &Path, arguments: &[&str], settings: &[&str]) -> assert_cmd::Command {
    let mut command = quiet_program(folder);
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_FILE"] {
        command.env_remove(variable);
    }
    command.args(arguments).args(settings.iter().flat_map(|setting| ["--set", *setting]));
    command
}

/// Checks the exit code and the whole of standard error.
fn expect(command: &mut assert_cmd::Command, folder: &Path, code: i32, message: &str) {
    let ended = command.assert();
    let output = ended.get_output();
    let said = masked(&String::from_utf8_lossy(&output.stderr), folder);
    assert_eq!((output.status.code(), said.as_str()), (Some(code), &*format!("{message}\n")));
}

/// A run of the simulator with these settings ends with the code and the message.
fn run_ends(settings: &[&str], code: i32, message: &str) {
    let folder = TempDir::new().unwrap();
    let settings = [&SIMULATED[..], settings].concat();
    expect(&mut command(folder.path(), &["run"], &settings), folder.path(), code, message);
}

#[test]
fn a_missing_permission_is_told_once_with_the_permission_to_grant() {
    let settings = ["sandbox.deny=['analytics:conversationDetail:view']", "fetch.shard=1d"];
    run_ends(
        &settings,
        3,
        "error: conversations: the server answered 403: missing.permissions: Unable to perform the \
         requested action. You are missing the following permission(s): \
         analytics:conversationDetail:view (correlation id ID); grant the permission \
         analytics:conversationDetail:view to a role of the client, in the divisions to fetch",
    );
}

#[test]
fn a_refresh_token_that_has_expired_says_where_to_put_a_new_one() {
    let settings = [
        "auth.grant=refresh-token",
        "auth.refresh_token=old",
        "auth.cache=cache.json",
        CREDENTIALS[0],
        CREDENTIALS[1],
    ];
    run_ends(
        &settings,
        3,
        "error: no token from http://127.0.0.1:PORT/oauth/token: the server answered 400: \
         invalid_grant: the code or refresh token is invalid, expired or revoked (correlation id \
         ID); log in again, and give the new refresh token as auth.refresh_token",
    );
}

#[test]
fn an_error_before_anything_was_received_is_not_hidden_below_a_table_of_zeros() {
    let folder = TempDir::new().unwrap();
    let settings = ["sandbox.client_secret=right", "auth.client_secret=wrong"];
    let mut run = command(folder.path(), &["run"], &[&SIMULATED[..], &settings].concat());
    run.assert().code(3).stdout("");
}

#[test]
fn a_host_that_does_not_exist_names_what_to_check() {
    let folder = TempDir::new().unwrap();
    let hosts = [
        "source.api_url=https://api.nowhere.invalid",
        "source.login_url=https://login.nowhere.invalid",
    ];
    let mut run = command(folder.path(), &["run"], &[&REAL[..], &hosts].concat());
    expect(
        &mut run,
        folder.path(),
        4,
        "error: no token from https://login.nowhere.invalid/oauth/token: the connection failed: \
         login.nowhere.invalid: failed to lookup address information: WHY; check the network, the \
         proxy and source.region, or run again later: the run continues from here",
    );
}

#[test]
fn a_refused_connection_names_the_host_and_its_port() {
    let folder = TempDir::new().unwrap();
    let hosts = ["source.api_url=http://127.0.0.1:1", "source.login_url=http://127.0.0.1:1"];
    let mut run = command(folder.path(), &["run"], &[&REAL[..], &hosts].concat());
    expect(
        &mut run,
        folder.path(),
        4,
        "error: no token from http://127.0.0.1:PORT/oauth/token: the connection failed: \
         127.0.0.1:PORT Connection refused (os error 111); check the network, the proxy and \
         source.region, or run again later: the run continues from here",
    );
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let settings = [&REAL[..], &["source.region=eu-central-1"]].concat();
    let mut run = command(folder.path(), &["run"], &settings);
    expect(
        run.env("HTTPS_PROXY", "http://user:hush@127.0.0.1:1"),
        folder.path(),
        4,
        "error: no token from https://login.mypurecloud.de/oauth/token: the connection failed: \
         login.mypurecloud.de: Connection refused (os error 111), by the proxy \
         http://127.0.0.1:PORT of HTTPS_PROXY unless NO_PROXY lists the host; check the network, \
         the proxy and source.region, or run again later: the run continues from here",
    );
}

#[test]
fn a_file_of_certificates_that_is_not_there_is_refused_before_any_request() {
    let folder = TempDir::new().unwrap();
    let settings = [&REAL[..], &["source.region=eu-central-1"]].concat();
    let mut run = command(folder.path(), &["run"], &settings);
    expect(
        run.env("SSL_CERT_FILE", "lost.pem"),
        folder.path(),
        2,
        "error: SSL_CERT_FILE names lost.pem, which cannot be read: No such file or directory (os \
         error 2); name a file of certificates in PEM format, or unset the variable to use those of \
         the system",
    );
}

#[test]
fn a_line_of_dot_env_is_refused_with_its_number_and_without_its_text() {
    for (lines, number) in [("A=b\n\ns3cret is here\n", 3), ("# c\nA=\"s3cret\nB=c\n", 2)] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(".env"), lines).unwrap();
        let settings = [&SIMULATED[..], &[CREDENTIALS[0], "auth.client_secret={ env = 'X' }"]];
        let mut run = command(folder.path(), &["run"], &settings.concat());
        let message = format!(
            "error: FOLDER/.env:{number}: the line is not valid: write NAME=value, and quotes around \
             a value with spaces or `#`"
        );
        expect(&mut run, folder.path(), 2, &message);
    }
}

#[test]
fn a_mistyped_dataset_is_refused_with_the_one_that_is_meant() {
    let folder = TempDir::new().unwrap();
    let mut run = command(folder.path(), &["run"], &SIMULATED);
    let ended = run.args(["--set", "job.datasets=['conversatons']"]).assert().code(2);
    let said = String::from_utf8_lossy(&ended.get_output().stderr).into_owned();
    assert!(said.starts_with("error: --set: job.datasets: there is no dataset `conversatons`: "));
    assert!(said.ends_with("; did you mean `conversations`?\n"), "{said}");
    let mut described = command(folder.path(), &["datasets", "queue"], &SIMULATED);
    let said = described.assert().code(2);
    let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
    assert!(said.ends_with("; did you mean `queues`?\n"), "{said}");
}

#[test]
fn an_interval_in_the_future_is_told_as_not_yet_available() {
    let settings = ["job.from=2124-01-01", "job.to=2124-02-01"];
    run_ends(
        &settings,
        0,
        "note: 2124-01-01T00:00:00.000Z/2124-02-01T00:00:00.000Z of conversations is not yet \
         available: a later run fetches it",
    );
}

#[test]
fn clocks_that_differ_are_found_by_check() {
    let folder = TempDir::new().unwrap();
    let settings = [&SIMULATED[..], &["sandbox.clock_skew=-90s"]].concat();
    let checked = command(folder.path(), &["check"], &settings).assert().code(0);
    let said = masked(&String::from_utf8_lossy(&checked.get_output().stdout), folder.path());
    let clock = said.lines().find(|line| line.starts_with("clock")).unwrap_or(&said);
    assert_eq!(
        clock,
        "clock         ok       the server's clock is N s behind this machine's: correct this \
         machine's clock"
    );
}

#[test]
fn an_output_that_is_a_file_or_below_one_is_refused_with_its_path() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("plain"), "").unwrap();
    for (path, message) in [
        ("plain", "plain is a file, and the output is a folder: choose another output.path"),
        (
            "plain/out",
            "the output failed at plain/out: Not a directory (os error 20); free its disk or give it \
             back its permissions, then run again",
        ),
    ] {
        let output = format!("output.path={path}");
        let mut run = command(folder.path(), &["run"], &[&SIMULATED[..], &[&output]].concat());
        expect(&mut run, folder.path(), 4, &format!("error: {message}"));
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_with_the_folder_of_the_output() {
    let folder = TempDir::new().unwrap();
    // files may have 1,500 KiB; whoever ignores the signal gets an error instead
    let script = "trap '' XFSZ; ulimit -f 1500; exec \"$0\" \"$@\"";
    let run = program(folder.path(), &["run"]);
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", script]).arg(run.get_program()).args(run.get_args());
    set(&mut limited, &SIMULATED);
    set(&mut limited, &["sandbox.conversations_per_day=5000", "job.to=2024-01-02"]);
    let ended = limited.current_dir(folder.path()).env("RUST_LOG", "off").output().unwrap();
    let said = masked(&String::from_utf8_lossy(&ended.stderr), folder.path());
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(said.contains("FOLDER/out"), "{said}");
    assert!(said.contains("File too large (os error 27)") && said.contains("free"), "{said}");
}

/// An output with a committed day.
fn written(folder: &Path) {
    command(folder, &["run"], &[&SIMULATED[..], &["job.to=2024-01-02"]].concat()).assert().code(0);
}

#[test]
fn a_damaged_or_newer_ledger_says_what_can_be_done() {
    let folder = TempDir::new().unwrap();
    written(folder.path());
    let ledger = folder.path().join("out").join(LEDGER);
    let known = {
        let ledger = Connection::open(&ledger).unwrap();
        let known = ledger.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
        ledger.execute_batch("PRAGMA user_version = 99").unwrap();
        known.unwrap()
    };
    let run = || command(folder.path(), &["run"], &SIMULATED);
    let newer = format!(
        "error: the ledger has version 99, and this program knows only up to {known}: update \
         cxbackfill, or choose another output.path"
    );
    expect(&mut run(), folder.path(), 4, &newer);
    for file in fs::read_dir(folder.path().join("out")).unwrap().flatten() {
        if file.file_name().to_str().unwrap().starts_with(LEDGER) {
            fs::write(file.path(), "no database").unwrap();
        }
    }
    expect(
        &mut run(),
        folder.path(),
        4,
        "error: the ledger (out/_ledger.sqlite) is damaged: file is not a database; make it anew \
         from the files with `cxbackfill rebuild`, or restore it from a backup",
    );
}

#[test]
fn an_output_of_another_job_is_refused_with_what_differs() {
    let folder = TempDir::new().unwrap();
    written(folder.path());
    let filter = "filter.conversations.x=1";
    let mut run = command(folder.path(), &["run"], &[&SIMULATED[..], &[filter]].concat());
    expect(
        &mut run,
        folder.path(),
        2,
        "error: this output was written with filter.conversations = {}, and now it is {\"x\":1}: \
         rows of both would mix; set it to {} again, or choose another output.path",
    );
}

#[test]
fn an_output_that_another_run_writes_to_is_refused_with_who_and_since_when() {
    let folder = TempDir::new().unwrap();
    let mut first = program(folder.path(), &["run"]);
    set(&mut first, &SIMULATED);
    let mut first = set(&mut first, &["sandbox.latency.base=20s"]).spawn().unwrap();
    let lock = folder.path().join("out/_ledger.lock");
    // the holder of the lock writes who it is
    let is_held = (0..1_000).any(|_| {
        sleep(Duration::from_millis(20));
        fs::read(&lock).is_ok_and(|text| !text.is_empty())
    });
    assert!(is_held, "the first run takes no lock");
    let mut second = command(folder.path(), &["run"], &SIMULATED);
    let ended = second.assert().code(4);
    let said = masked(&String::from_utf8_lossy(&ended.get_output().stderr), folder.path());
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(said.starts_with("error: another run writes to this output: "), "{said}");
    assert!(said.contains("process NUMBER") && said.contains("since TIME"), "{said}");
    assert!(said.ends_with("wait for it, or choose another output.path\n"), "{said}");
}
