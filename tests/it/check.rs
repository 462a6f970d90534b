//! `cxbackfill check`: one line for each requirement of a run.

use cxbackfill::testing::Settings;

use crate::common::{
    binary::{CREDENTIALS, SIMULATED, program, set},
    platform::Platform,
};

/// What `check` prints against a sandbox of these settings, and its exit code.
async fn check(settings: Settings, more: &[&str]) -> (String, Option<i32>) {
    check_platform(&Platform::start(settings).await, more)
}

fn check_platform(platform: &Platform, more: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = platform.command(folder.path(), &["check"]);
    let output = set(&mut command, more).output().unwrap();
    assert!(!folder.path().join("out/_probe").exists());
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_ok_if_a_run_would_start() {
    let (lines, code) = check(Settings { requests: 180, ..Settings::default() }, &[]).await;
    assert_eq!(code, Some(0), "{lines}");
    let names: Vec<_> = lines.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "configuration",
            "hosts",
            "credentials",
            "permission",
            "limits",
            "clock",
            "sink",
            "memory"
        ],
        "{lines}"
    );
    assert!(!lines.contains("FAIL"), "{lines}");
    assert!(
        lines.contains("client sandbox of the organization Sandbox, by client-credentials"),
        "{lines}"
    );
    assert!(
        lines.contains("client.credentials.token.rate.per.minute 180; the budget is 300 a 60s"),
        "{lines}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_datasets_without_tables_are_named_if_the_layout_has_tables() {
    let platform = Platform::start(Settings::default()).await;
    let line = |datasets: &str, layout: &str| {
        let sets = [format!("job.datasets={datasets}"), format!("output.layout={layout}")];
        let (lines, code) = check_platform(&platform, &sets.each_ref().map(String::as_str));
        assert_eq!(code, Some(0), "{lines}");
        let line = lines.lines().find_map(|line| line.strip_prefix("layout"));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let datasets = r#"["conversations", "user-details", "divisions"]"#;
    assert_eq!(line(datasets, "nested"), None);
    for layout in ["tables", "both"] {
        let expected = format!(
            "ok {layout}: conversations has tables; user-details, divisions have nested rows only, \
             since the catalog describes no tables of them"
        );
        assert_eq!(line(datasets, layout), Some(expected));
    }
    let expected =
        "ok tables: divisions has nested rows only, since the catalog describes no tables of it";
    assert_eq!(line(r#"["divisions"]"#, "tables").as_deref(), Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_line_says_what_to_do() {
    let deny =
        Settings { deny: vec!["analytics:conversationDetail:view".into()], ..Settings::default() };
    let (lines, code) = check(deny, &[]).await;
    assert_eq!(code, Some(3), "{lines}");
    assert!(
        lines.contains(
            "grant the permission analytics:conversationDetail:view to a role of the client"
        ),
        "{lines}"
    );

    let wrong = Settings { client_secret: Some("another".into()), ..Settings::default() };
    let (lines, code) = check(wrong, &[]).await;
    assert_eq!(code, Some(3), "{lines}");
    assert!(lines.contains("invalid_client") && lines.contains("check auth.client_id"), "{lines}");

    let (lines, code) = check(Settings::default(), &["output.path=/dev/null/out"]).await;
    assert_eq!(code, Some(4), "{lines}");
    assert!(
        lines.lines().any(|line| line.starts_with("sink") && line.contains("/dev/null/out")),
        "{lines}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_does_not_say_ok_where_it_could_not_ask() {
    // only a job reads this dataset, and a check submits no job
    let (lines, code) = check(Settings::default(), &["job.datasets=[\"usage\"]"]).await;
    assert_eq!((state(&lines, "permission"), code), ("unknown", Some(0)), "{lines}");

    // a static token is not requested, and this platform does not describe it
    let unknown = [
        "source.platform=nice-cxone",
        "auth.grant=static",
        "auth.token=t",
        "job.datasets=[\"contacts\"]",
    ];
    let (lines, code) = check(Settings::default(), &unknown).await;
    assert_eq!((state(&lines, "credentials"), state(&lines, "permission")), ("unknown", "FAIL"));
    assert_eq!(code, Some(3), "{lines}");

    let platform = Platform::start(Settings::default()).await;
    *platform.forbidden_path.lock().unwrap() = Some("/limits/");
    let (lines, code) = check_platform(&platform, &[]);
    assert_eq!((state(&lines, "limits"), code), ("unknown", Some(0)), "{lines}");
}

/// The state of the first line about `name`.
fn state<'a>(lines: &'a str, name: &str) -> &'a str {
    let line = lines.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_error_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &["check"]);
    let run = set(set(&mut command, &SIMULATED), &["sandbox.clock_skew=-90s"]).output().unwrap();
    let lines = String::from_utf8(run.stdout).unwrap();
    assert!(lines.contains("s behind this machine's: correct this machine's clock"), "{lines}");
    assert_eq!(run.status.code(), Some(0), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_discovers_its_hosts_from_the_issuer() {
    let platform =
        Platform::start(Settings { conversations_per_day: 5, ..Settings::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let issuer = format!("source.issuer=http://{}", platform.address);
    let key = ["auth.grant=password", "auth.access_key_id=k", "auth.access_key_secret=s"];
    let run = |more: &[&str]| {
        let mut command = program(folder.path(), &["run", "--summary", "json"]);
        set(&mut command, &[SIMULATED[1], "job.to=2024-01-02T00:00:00Z", issuer.as_str()]);
        set(&mut command, &CREDENTIALS);
        set(&mut command, &key);
        set(&mut command, more).output().unwrap()
    };
    let found = run(&[]);
    assert_eq!(found.status.code(), Some(0), "{}", String::from_utf8_lossy(&found.stderr));
    assert_eq!(
        platform.region.stats().token_requests[&200],
        2,
        "one for the discovery of the tenant, one for the run"
    );
    let stranger = run(&["source.tenant=nobody", "output.path=other"]);
    let message = String::from_utf8_lossy(&stranger.stderr);
    assert_eq!(stranger.status.code(), Some(4), "{message}");
    assert!(
        message.contains("there is no such tenant") && message.contains("check source.issuer"),
        "{message}"
    );
}
