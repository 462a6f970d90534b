//! Each built-in dataset by each of its endpoints against a sandbox process: independent readers
//! find in the Parquet files exactly the rows of the truth.

use std::{fs, slice, sync::Arc};

use cxbackfill::testing::{Dataset, catalog, clock};
use serde_json::{Map, Value};

use crate::common::{
    binary::{Job, Sandbox},
    reader::{Case, expect_all_equal},
};

const GENESYS: &str = "genesys-cloud";
const CXONE: &str = "nice-cxone";

/// The days that are fetched, one shard each.
const DAYS: [&str; 3] = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"];
/// Data extractions are limited to two a minute, so each is fetched by itself and in one shard.
const EXTRACTS: [&str; 2] = ["qm-workflows", "recording-interaction-metadata"];

/// Fields that the catalogue omits on purpose: settings of entities.
const OMITTED: [(&str, &str); 3] =
    [("queues", "defaultScripts"), ("queues", "mediaSettings"), ("users", "chat")];

/// The datasets of a platform that match.
fn datasets(platform: &str, matches: impl Fn(&Dataset) -> bool) -> Vec<Arc<Dataset>> {
    let all = catalog::builtin(platform).unwrap().datasets.values();
    all.filter(|dataset| matches(dataset)).cloned().collect()
}

/// Fetches datasets in one job, and compares each with the truth of its name plus `suffix`.
fn expect_truth(platform: &str, datasets: &[Arc<Dataset>], suffix: &str, settings: &[&str]) {
    assert!(!datasets.is_empty());
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    let names: Vec<_> = datasets.iter().map(|dataset| dataset.name.as_str()).collect();
    let (platform_setting, dataset_setting) =
        (format!("source.platform={platform}"), format!("job.datasets={names:?}"));
    let begun = clock::now().to_string();
    job.run(DAYS[0], DAYS[2], &[&[platform_setting.as_str(), &dataset_setting], settings].concat());
    let taken = [begun, clock::now().to_string()];
    let case = |dataset: &Arc<Dataset>| {
        case(&job, dataset, truth(&sandbox, platform, dataset, suffix), &taken)
    };
    expect_all_equal(&datasets.iter().map(case).collect::<Vec<_>>());
}

/// The files of a dataset and the rows they must have.
fn case(job: &Job, dataset: &Dataset, truth: String, taken: &[String; 2]) -> Case {
    assert!(!truth.is_empty(), "{} without rows proves nothing", dataset.name);
    Case {
        folder: job.folder(&dataset.name),
        truth,
        // a row without a time of its own occurs once in each shard
        id: [
            dataset.id.as_slice(),
            if dataset.synthesizes_time { slice::from_ref(&dataset.time) } else { &[] },
        ]
        .concat(),
        time: dataset.time.clone(),
        taken: dataset.snapshot.then(|| taken.clone()),
        version: dataset.version,
    }
}

/// The truth of all days without the omitted fields. Rows without a time of their own get the start
/// of their shard.
fn truth(sandbox: &Sandbox, platform: &str, dataset: &Dataset, suffix: &str) -> String {
    let name = format!("{}{suffix}", dataset.name);
    if !dataset.synthesizes_time || dataset.snapshot {
        let truth = sandbox.truth_of(platform, &name, DAYS[0], DAYS[2]);
        let truth = match dataset.name.as_str() {
            "usage" => changed(&truth, |row| {
                let day = row.remove("date").expect("usage has a date");
                row.insert("day".to_owned(), day);
            }),
            _ => truth,
        };
        let omitted = OMITTED.iter().filter(|(of, _)| *of == name);
        return omitted.fold(truth, |truth, (_, column)| {
            changed(&truth, |row| {
                assert!(row.remove(*column).is_some(), "{name} has no {column} to omit")
            })
        });
    }
    let with_times = |day: &[&str]| {
        let truth = sandbox.truth_of(platform, &name, day[0], day[1]);
        changed(&truth, |row| {
            assert!(row.insert(dataset.time.clone(), day[0].into()).is_none(), "{name}")
        })
    };
    DAYS.windows(2).map(with_times).collect()
}

/// Changes each row.
fn changed(rows: &str, change: impl Fn(&mut Map<String, Value>)) -> String {
    let line = |line: &str| {
        let mut row = serde_json::from_str(line).unwrap();
        change(&mut row);
        format!("{}\n", Value::Object(row))
    };
    rows.lines().map(line).collect()
}

#[test]
fn every_dataset_of_genesys_cloud_equals_its_truth() {
    expect_truth(GENESYS, &datasets(GENESYS, |_| true), "", &["fetch.strategy=query"]);
}

#[test]
fn datasets_with_two_endpoints_equal_their_truth_by_job_too() {
    let both = |dataset: &Dataset| dataset.query.is_some() && dataset.job.is_some();
    expect_truth(GENESYS, &datasets(GENESYS, both), "", &["fetch.strategy=job"]);
}

#[test]
fn attributes_that_only_jobs_return_equal_the_truth() {
    expect_truth(
        GENESYS,
        &datasets(GENESYS, Dataset::has_extras),
        "+attributes",
        &["fetch.attributes=true"],
    );
}

#[test]
fn every_dataset_of_cxone_equals_its_truth() {
    let reports = |dataset: &Dataset| !EXTRACTS.contains(&dataset.name.as_str());
    expect_truth(CXONE, &datasets(CXONE, reports), "", &[]);
}

#[test]
fn data_extractions_equal_their_truth() {
    for extract in EXTRACTS {
        let extracts = datasets(CXONE, |dataset| dataset.name == extract);
        expect_truth(CXONE, &extracts, "", &["fetch.shard=30d"]);
    }
}

#[test]
fn contacts_of_an_old_version_equal_the_truth() {
    let contacts = datasets(CXONE, |dataset| dataset.name == "contacts");
    expect_truth(CXONE, &contacts, "", &["source.api_version=v23.0"]);
}

#[test]
fn a_skill_summary_of_an_old_version_has_its_durations_as_seconds() {
    let summary = datasets(CXONE, |dataset| dataset.name == "skill-summary");
    expect_truth(CXONE, &summary, "", &["source.api_version=v23.0"]);
}

#[test]
fn a_dataset_that_is_denied_or_fails_does_not_affect_the_others() {
    let sandbox = Sandbox::start(&[
        "sandbox.conversations_per_day=60",
        "sandbox.deny=[\"audits:audit:view\"]",
    ]);
    let whole =
        datasets(GENESYS, |dataset| ["conversations", "queues"].contains(&dataset.name.as_str()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lost.toml");
    fs::write(&file, TEAMS.replace("/api/v2/routing/queues", "/api/v2/nowhere")).unwrap();
    let catalog = format!("source.catalog={}", file.display());
    for (third, code, reason) in [("audits", 3, "audits:audit:view"), ("teams", 1, "teams 20")] {
        let job = Job::new(&sandbox);
        let which = format!("job.datasets=[\"{third}\", \"conversations\", \"queues\"]");
        let begun = clock::now().to_string();
        let output = job.command(DAYS[0], DAYS[2], &[&which, &catalog]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.lines().last().is_some_and(|last| last.contains(reason)), "{said}");
        assert!(!job.folder(third).exists(), "{third}");
        let taken = [begun, clock::now().to_string()];
        let case = |dataset: &Arc<Dataset>| {
            case(&job, dataset, truth(&sandbox, GENESYS, dataset, ""), &taken)
        };
        expect_all_equal(&whole.iter().map(case).collect::<Vec<_>>());
    }
}

/// A custom dataset without columns.
const TEAMS: &str = "
[dataset.teams]
version = 1
id = 'id'
time = 'snapshotTime'
snapshot = true
columns = 'teams'

[dataset.teams.query]
path = '/api/v2/routing/queues'
query = { pageSize = '{page_size}', pageNumber = '{page}' }
rows = '/entities'
paging = 'page-number'
page_size = 500

[type.teams]
id = 'string'
snapshotTime = 'timestamp'
";

#[test]
fn inferred_columns_hold_every_field_of_the_truth() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("teams.toml");
    let (dataset, _) = TEAMS.split_once("[type.").unwrap();
    fs::write(&file, dataset.replace("columns = 'teams'", "")).unwrap();
    let settings = [
        &format!("source.catalog={}", file.display()),
        "source.platform=custom",
        "job.datasets=[\"teams\"]",
    ];
    let output = job
        .command_of(&["datasets", "--infer", "teams"], DAYS[0], DAYS[2], &settings)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(&file, [dataset.as_bytes(), &output.stdout].concat()).unwrap();
    let begun = clock::now().to_string();
    job.run(DAYS[0], DAYS[2], &settings);
    let taken = [begun, clock::now().to_string()];
    let own = catalog::read("teams.toml", &fs::read_to_string(&file).unwrap()).unwrap();
    let truth = sandbox.truth_of(GENESYS, "queues", DAYS[0], DAYS[2]);
    expect_all_equal(&[case(&job, &own.datasets["teams"], truth, &taken)]);
}
