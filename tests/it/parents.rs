//! Datasets that are queried once per parent: a parent that fails costs its own rows alone.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::common::{
    stub_backfill::{StubBackfill, StubResult},
    stub_transport::{Stub, StubRequest, StubResponse},
};

const CATALOG: &str = "[dataset.teams]\nversion = 1\nid = 'id'\ntime = 'at'\nsnapshot = true\n\
    columns = 'team'\n[dataset.teams.query]\npath = '/teams'\nrows = ''\npaging = 'none'\n\
    [dataset.rows]\nversion = 1\nid = ['team', 'id']\ntime = 'at'\ncolumns = 'row'\n\
    [dataset.rows.query]\npath = '/teams/{each}/rows'\nrows = ''\npaging = 'none'\n\
    query = { from = '{from}' }\neach = { dataset = 'teams', column = 'team' }\n\
    [type.team]\nid = 'string'\nat = 'timestamp'\n\
    [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\n";

/// An API with three days of rows. Each team has a row a day, whose id ends with the version.
struct Fixture {
    backfill: StubBackfill,
    stub: Arc<Stub>,
    api: Arc<Mutex<Api>>,
}

struct Api {
    teams: Vec<String>,
    /// The teams whose requests are answered with the status.
    failing: BTreeSet<String>,
    status: u16,
    version: u32,
    /// Whether each reply has two more rows that cannot be decoded.
    is_broken: bool,
}

impl Fixture {
    fn new(teams: &[&str], failing: &[&str], status: u16) -> Self {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let failing = set(failing).into_iter().collect();
        let api = Arc::new(Mutex::new(Api {
            teams: set(teams),
            failing,
            status,
            version: 1,
            is_broken: false,
        }));
        let shared = Arc::clone(&api);
        let answer = move |request: &StubRequest| shared.lock().unwrap().answer(request);
        let settings =
            ["job.to=2024-01-04T00:00:00Z", "fetch.shard=1d", "fetch.actors=3", "retry.attempts=2"];
        let stub = Stub::new("/oauth/token", answer);
        Self { backfill: StubBackfill::new(CATALOG, "", &settings), stub, api }
    }

    fn run(&self) -> StubResult {
        self.backfill.run(&self.stub, CancellationToken::new())
    }

    fn heal(&self) {
        self.api.lock().unwrap().failing.clear();
    }

    fn requests(&self, path: &str) -> usize {
        self.stub.requests().iter().filter(|request| request.contains(path)).count()
    }
}

impl Api {
    fn answer(&self, request: &StubRequest) -> StubResponse {
        if request.url.path() == "/teams" {
            let teams: Vec<_> =
                self.teams.iter().map(|id| format!(r#"{{"id": "{id}"}}"#)).collect();
            return (200, format!("[{}]", teams.join(",")));
        }
        let parts: Vec<_> = request.url.path().split('/').collect();
        let ["", "teams", team, "rows"] = parts[..] else {
            // the run asks whether the platform as a whole fails
            return (404, String::new());
        };
        if self.failing.contains(team) {
            return (self.status, r#"{"message": "no"}"#.to_owned());
        }
        let (from, version) = (request.param("from").unwrap(), self.version);
        let bad = match self.is_broken {
            true => format!(r#", 5, {{"of": "{team}"}}"#),
            false => String::new(),
        };
        (200, format!(r#"[{{"id": "{}-{version}", "at": "{from}"}}{bad}]"#, &from[..10]))
    }
}

/// The teams of the rows of a version.
fn teams(result: &StubResult, version: u32) -> BTreeSet<&str> {
    let of_version = result.rows.iter().filter(|row| row.ends_with(&format!("-{version}")));
    of_version.filter_map(|row| row.split(' ').next()).collect()
}

#[test]
fn a_parent_that_fails_costs_its_own_rows_alone_and_is_named() {
    for status in [400, 403, 500] {
        let fixture = Fixture::new(&["a", "b", "c"], &["b"], status);
        let result = fixture.run();
        assert_eq!((result.code, result.rows.len()), (1, 6), "{status}: {:?}", result.gaps);
        assert_eq!(teams(&result, 1), BTreeSet::from(["a", "c"]), "{status}");
        let named = format!(
            "failed-parents: the rows of 1 of the teams are missing: `b`: the server answered {status}"
        );
        assert!(result.gaps.iter().all(|gap| gap.starts_with(&named)), "{:?}", result.gaps);
        assert_eq!(fixture.run().rows.len(), 6, "a plain run does not take it up");

        fixture.heal();
        let healed = fixture.backfill.retry_failed(&fixture.stub);
        assert_eq!((healed.code, healed.rows.len()), (0, 9), "{status}: {:?}", healed.gaps);
        assert_eq!(teams(&healed, 1), BTreeSet::from(["a", "b", "c"]));
    }
}

#[test]
fn a_refresh_keeps_the_committed_rows_of_a_parent_that_fails() {
    let mut fixture = Fixture::new(&["a", "b", "c"], &[], 500);
    assert_eq!(fixture.run().code, 0);
    fixture.backfill.config.refresh = Duration::from_secs(3 * 86_400);
    {
        let mut api = fixture.api.lock().unwrap();
        api.failing.insert("b".to_owned());
        api.version = 2;
    }
    let result = fixture.run();
    assert_eq!((result.code, result.rows.len()), (1, 9), "{:?}", result.gaps);
    assert_eq!(teams(&result, 2), BTreeSet::from(["a", "c"]));
    assert_eq!(teams(&result, 1), BTreeSet::from(["b"]));

    fixture.heal();
    let healed = fixture.run();
    assert_eq!((healed.code, teams(&healed, 2).len()), (0, 3), "{:?}", healed.gaps);
    assert_eq!(teams(&healed, 1), BTreeSet::new());
}

#[test]
fn a_refresh_keeps_the_quarantined_rows_of_a_parent_that_fails_and_of_no_other() {
    let mut fixture = Fixture::new(&["a", "b", "c"], &[], 500);
    fixture.api.lock().unwrap().is_broken = true;
    let first = fixture.run();
    assert_eq!((first.rows.len(), first.quarantined.len()), (9, 18), "{:?}", first.gaps);
    fixture.backfill.config.refresh = Duration::from_secs(3 * 86_400);
    fixture.api.lock().unwrap().failing.insert("b".to_owned());
    for _ in 0..2 {
        let result = fixture.run();
        assert_eq!((result.code, result.rows.len()), (1, 9), "{:?}", result.gaps);
        assert_eq!(result.quarantined, first.quarantined);
    }
    fixture.api.lock().unwrap().is_broken = false;
    let of_b = fixture.run().quarantined;
    assert_eq!(of_b.iter().filter(|row| row.contains(r#""of": "b""#)).count(), 3, "{of_b:?}");
    assert_eq!(of_b.len(), 6, "{of_b:?}");
    fixture.heal();
    let healed = fixture.run();
    assert_eq!((healed.code, healed.quarantined.len()), (0, 0), "{:?}", healed.gaps);
}

#[test]
fn parents_are_listed_once_a_run() {
    let fixture = Fixture::new(&["a", "b", "c"], &[], 500);
    assert_eq!(fixture.run().code, 0);
    assert_eq!((fixture.requests("/rows"), fixture.requests("/teams") - 9), (9, 1));
}

#[test]
fn a_dataset_of_which_every_parent_is_denied_is_denied() {
    let ids: Vec<_> = (10..40).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (count, requests) in [(3, 3), (30, 10)] {
        let fixture = Fixture::new(&ids[..count], &ids[..count], 403);
        let result = fixture.run();
        assert_eq!((result.code, result.rows.len()), (3, 0), "{count}: {:?}", result.gaps);
        let made = fixture.requests("/rows");
        assert!((requests..=3 * requests).contains(&made), "{count}: {made} requests");
    }
}

#[test]
fn a_parent_whose_id_would_lead_to_another_path_fails_alone() {
    for id in ["..", ".", "%2e%2e"] {
        let fixture = Fixture::new(&["a", id, "c"], &[], 500);
        let result = fixture.run();
        assert_eq!((result.code, result.rows.len()), (1, 6), "`{id}`: {:?}", result.gaps);
        let named = format!("`{id}`: the response cannot be read: the id cannot be part of a path");
        assert!(result.gaps.iter().all(|gap| gap.contains(&named)), "{:?}", result.gaps);
        assert_eq!(fixture.requests("/rows"), 6, "`{id}`");
    }
}
