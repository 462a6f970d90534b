//! G10: nothing that the program writes contains a secret that it used.

use std::{
    fs::File,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use cxbackfill::testing::{LEDGER, Settings, behaviors};
use parquet::file::reader::{FileReader, SerializedFileReader};
use rusqlite::{Connection, OpenFlags, types::ValueRef};

use crate::common::{binary::set, platform::Platform};

const SECRET: &str = "hush-hush/0123+secret";
const KEY: &str = "key-of-a-user-4711";

/// The texts that must not be found: the secrets, and their encoded forms.
fn forbidden(platform: &Platform, more: &[String]) -> Vec<String> {
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = STANDARD.encode(format!("sandbox:{SECRET}"));
    let given = [SECRET.to_owned(), KEY.to_owned(), basic];
    let plain = [&given[..], more, &platform.tokens.lock().unwrap()].concat();
    let mut all = plain.clone();
    for text in &plain {
        all.push(encoded(text));
        all.extend([2, 4].map(|from| {
            // as it stands in the code of a longer text
            let code = STANDARD.encode(format!("xxx{text}"));
            code[from + 2..code.len() - 4].to_owned()
        }));
        all.push(STANDARD.encode(format!("{{\"sent\":\"{text}\"}}")));
        all.push(URL_SAFE.encode(format!("x{text}")));
        all.push(text.bytes().map(|byte| format!("%{byte:02x}")).collect());
        all.push(text.bytes().map(|byte| format!("{byte:02x}")).collect());
        all.push(text.bytes().map(|byte| format!("{byte:02X}")).collect());
        all.push(text.bytes().map(|byte| format!("\\u{byte:04x}")).collect());
        all.push(text.bytes().map(|byte| format!("&#{byte};")).collect());
    }
    all
}

fn output(mut command: Command) -> Output {
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").output().unwrap()
}

/// Searches standard output, standard error, every file except the token cache, and what the ledger
/// and the Parquet files hold.
fn search(folder: &Path, output: &Output, forbidden: &[String]) {
    let mut written = vec![
        ("stdout".to_owned(), output.stdout.clone()),
        ("stderr".to_owned(), output.stderr.clone()),
    ];
    collect(folder, &mut written);
    for (name, text) in &written {
        for secret in forbidden.iter().map(String::as_bytes) {
            let at = text.windows(secret.len()).position(|window| window == secret);
            assert_eq!(at, None, "{name} holds `{}`", String::from_utf8_lossy(secret));
        }
    }
}

fn collect(folder: &Path, written: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, written);
        } else if path.file_name().is_none_or(|name| name != "tokens") {
            let name = path.display().to_string();
            if path.extension().is_some_and(|end| end == "parquet") {
                written.push((format!("a row of {name}"), rows(&path)));
            } else if path.file_name().is_some_and(|name| name == LEDGER) {
                written.push((format!("a record of {name}"), records(&path)));
            }
            written.push((name, std::fs::read(&path).unwrap()));
        }
    }
}

/// The rows of a Parquet file as text.
fn rows(path: &Path) -> Vec<u8> {
    let file = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string());
    rows.collect::<Vec<_>>().join("\n").into_bytes()
}

/// The texts of every table of a ledger: in the file a long one may be in several pieces.
fn records(path: &Path) -> Vec<u8> {
    let ledger = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut tables = ledger.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut records = Vec::new();
    for name in names {
        let mut table = ledger.prepare(&format!("SELECT * FROM \"{}\"", name.unwrap())).unwrap();
        let columns = table.column_count();
        let mut found = table.query([]).unwrap();
        while let Some(record) = found.next().unwrap() {
            for column in 0..columns {
                if let ValueRef::Text(text) | ValueRef::Blob(text) = record.get_ref(column).unwrap()
                {
                    records.extend_from_slice(text);
                    records.push(b'\n');
                }
            }
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_secret_is_in_the_output_of_successful_and_failing_runs() {
    let secret = format!("auth.client_secret='{SECRET}'");
    let key = format!("auth.access_key_secret={KEY}");
    let lifetime = Duration::from_secs(1);
    let settings = Settings {
        client_secret: Some(SECRET.into()),
        conversations_per_day: 60,
        token_lifetime: lifetime,
        revoke_every: Duration::from_millis(400),
        ..Settings::default()
    };
    let password = [
        "auth.grant=password",
        "auth.access_key_id=somebody",
        &key,
        "auth.cache=tokens",
        "auth.send=body",
    ];
    let deny =
        Settings { deny: vec!["analytics:conversationDetail:view".into()], ..settings.clone() };
    let wrong = Settings { client_secret: Some("another".into()), ..settings.clone() };
    let table: [(&str, &Settings, &[&str], i32); 7] = [
        ("run", &settings, &[], 0),
        ("run", &settings, &["auth.send=body"], 0),
        ("run", &settings, &password, 0),
        ("check", &settings, &password, 0),
        ("run", &wrong, &[], 3),
        ("check", &wrong, &password, 3),
        ("run", &deny, &[], 3),
    ];
    for (command, settings, more, code) in table {
        let (platform, folder) =
            (Platform::start(settings.clone()).await, tempfile::tempdir().unwrap());
        let mut run = platform.command(folder.path(), &[command, "--set", &secret]);
        set(&mut run, more);
        let output = output(run);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command} {more:?}: {said}");
        assert!(said.len() > 1_000 || command == "check", "trace is on: {said}");
        search(folder.path(), &output, &forbidden(&platform, &[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_refresh_token_is_only_in_the_cache() {
    let platform =
        Platform::start(Settings { conversations_per_day: 5, ..Settings::default() }).await;
    let (folder, first) = (tempfile::tempdir().unwrap(), platform.refresh_token());
    let token = format!("auth.refresh_token={first}");
    for code in [0, 3] {
        let mut run = platform.command(folder.path(), &["run"]);
        set(&mut run, &["auth.grant=refresh-token", "auth.cache=tokens", &token]);
        let output = output(run);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        search(folder.path(), &output, &forbidden(&platform, std::slice::from_ref(&first)));
        // the second run has a used token, a broken cache, and rows to fetch
        std::fs::write(folder.path().join("tokens"), "{").unwrap();
        std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_secrets_that_a_server_quotes_in_any_form_are_in_no_output() {
    let secret = format!("auth.client_secret='{SECRET}'");
    let key = format!("auth.access_key_secret={KEY}");
    let password = ["auth.grant=password", "auth.access_key_id=somebody", &key, "auth.send=body"];
    let with = |name: &str| {
        let behaviors = behaviors::all().filter(|behavior| behavior.name == name).collect();
        Settings { behaviors, conversations_per_day: 60, ..Settings::default() }
    };
    let [echoed, named, rows] =
        ["echoed-secrets", "job-named-after-a-token", "rows-that-quote-secrets"].map(with);
    let run = ["run", "--summary", "json"];
    let table: [(&[&str], &Settings, &[&str], i32); 7] = [
        (&run, &echoed, &[], 4),
        (&run, &echoed, &["auth.send=body"], 4),
        (&run, &echoed, &password, 4),
        (&["check"], &echoed, &password, 4),
        (&run, &named, &["fetch.strategy=job"], 1),
        (&run, &rows, &["fetch.strategy=query"], 1),
        (&["status"], &rows, &["fetch.strategy=query"], 1),
    ];
    for (arguments, settings, more, code) in table {
        let (platform, folder) =
            (Platform::start(settings.clone()).await, tempfile::tempdir().unwrap());
        let fast = ["retry.first=10ms", "retry.longest=10ms", "retry.attempts=2"];
        let command = |arguments: &[&str]| {
            let arguments = [arguments, &["--set", &secret]].concat();
            let mut command = platform.command(folder.path(), &arguments);
            set(&mut command, &fast);
            set(&mut command, more);
            command
        };
        if arguments == ["status"] {
            // what a run has recorded is printed by another command
            output(command(&run));
        }
        let output = output(command(arguments));
        let said = [&output.stderr[..], &output.stdout].map(String::from_utf8_lossy).concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {more:?}: {said}");
        search(folder.path(), &output, &forbidden(&platform, &[]));
        // the texts were there, without the secrets
        let mut written = vec![(String::new(), said.into_bytes())];
        collect(folder.path(), &mut written);
        let holds = |text: &str| {
            let mut all = written.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes));
            all.any(|written| written.contains(text))
        };
        let is_masked = holds("[secret]") || holds("holds a secret");
        assert!(is_masked || arguments == ["check"], "{arguments:?} {more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_refresh_token_that_the_server_quotes_is_in_no_output() {
    let behaviors = behaviors::all().filter(|behavior| behavior.name == "echoed-secrets").collect();
    let settings = Settings { behaviors, conversations_per_day: 5, ..Settings::default() };
    let platform = Platform::start(settings).await;
    let (folder, first) = (tempfile::tempdir().unwrap(), "refresh-token-of-nobody".to_owned());
    let token = format!("auth.refresh_token={first}");
    let secret = format!("auth.client_secret='{SECRET}'");
    let mut run = platform.command(folder.path(), &["run", "--set", &secret]);
    let grant = ["auth.grant=refresh-token", "auth.send=body", "auth.cache=tokens", &token];
    set(&mut run, &grant);
    let output = output(run);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("[secret]"), "{said}");
    search(folder.path(), &output, &forbidden(&platform, &[first]));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn g10_a_secret_that_a_command_prints_is_in_no_output() {
    let settings = Settings {
        client_secret: Some(SECRET.into()),
        conversations_per_day: 60,
        ..Settings::default()
    };
    let platform = Platform::start(settings).await;
    let (folder, calls) = (tempfile::tempdir().unwrap(), "echo . >> calls");
    let reading = format!("{calls}; cat secret");
    let failing = format!("{calls}; cat secret; echo \"no access with $(cat secret)\" >&2; exit 7");
    let listing = format!("{calls}; echo Key Value; cat secret");
    for (script, code, message) in [
        (&reading, 0, ""),
        (&failing, 2, "the command `sh` failed (exit status: 7): no access with [secret]: run it"),
        (&listing, 2, "the command `sh` printed 2 lines: let it print the secret alone"),
    ] {
        let _ = std::fs::remove_file(folder.path().join("calls"));
        // outside of what is searched
        let store = tempfile::tempdir().unwrap();
        let secret = store.path().join("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        let script = script.replace("cat secret", &format!("cat {}", secret.display()));
        let command = format!("auth.client_secret={{ command = [\"sh\", \"-c\", '{script}'] }}");
        let mut run = platform.command(folder.path(), &["run"]);
        set(&mut run, &[command]);
        let output = output(run);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(message), "{said}");
        if code != 0 {
            assert!(said.contains("--set: auth.client_secret: the command"), "{said}");
        }
        search(folder.path(), &output, &forbidden(&platform, &[]));
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(calls, ".\n", "the command runs once");
    }
}
