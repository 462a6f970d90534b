//! The forms in which APIs page, as catalogues, and a stub that serves them.

use std::sync::Arc;

use actix::System;
use arrow::array::AsArray;
use cxbackfill::testing::{
    Config, Environment, Ledger, Metrics, OutputStore, Overrides, RunOutcome, Scope, run,
};
use object_store::{ObjectStoreExt, memory::InMemory};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::stub_transport::{Stub, StubRequest, StubResponse};

/// Rows of a list.
pub const ROWS: usize = 10;
/// Rows of a full page.
const PAGE: usize = 4;
/// Of the forms that ask for every team.
const TEAMS: [&str; 3] = ["red", "o'n/e?", "blue"];

/// How pages follow on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    PageInBody,
    PageInQuery,
    PageWithNext,
    OffsetInQuery,
    OffsetInBody,
    OffsetWithNext,
    CursorInBody,
    CursorInQuery,
    PageToken,
    WholeLink,
    RootedLink,
    QueryLink,
    LinkFromPost,
    None,
    Job,
    Each,
    EachByCursor,
}

/// How the rows are cut into pages.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    /// All in one.
    Whole,
    /// Full pages alone.
    Even,
    /// The last is short.
    Short,
    /// One in the middle is short.
    ShortMiddle,
    /// One in the middle has no rows.
    EmptyMiddle,
    /// A row comes in at the front with every page, and so each begins with the last row of the one before.
    Sliding,
    /// There are no rows.
    Nothing,
}

/// What the last page looks like, or the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The last page says nothing of a next.
    NoKey,
    Null,
    EmptyText,
    False,
    /// One more page, with an empty list.
    EmptyPage,
    NoList,
    NullList,
    NoContent,
}

/// What is wrong with the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagingFault {
    None,
    /// Every page names the second.
    Repeats,
    /// The last page names the first.
    Circles,
    /// After the last come pages without rows, and each names another.
    Empties,
    /// Every page names this link.
    Link(&'static str),
}

/// What came of it.
pub struct PagingResult {
    /// The ids of the rows in the files.
    pub rows: Vec<String>,
    /// Why there are gaps, or why nothing may be read.
    pub gaps: Vec<String>,
    /// The exit code.
    pub code: u8,
    /// What the stub was asked.
    pub seen: Vec<String>,
}

impl Form {
    /// The keys of the dataset's way.
    fn endpoint(self) -> &'static str {
        match self {
            Self::PageInBody => {
                "method = 'POST'\nbody = { paging = { page = '{page}' } }\npaging = 'page-number'"
            }
            Self::PageInQuery => {
                "query = { page = '{page}', size = '{page_size}' }\npaging = 'page-number'"
            }
            Self::PageWithNext => {
                "query = { page = '{page}' }\npaging = 'page-number'\nnext = '/next'"
            }
            Self::OffsetInQuery => "query = { offset = '{offset}' }\npaging = 'offset'",
            Self::OffsetInBody => {
                "method = 'POST'\nbody = { offset = '{offset}' }\npaging = 'offset'"
            }
            Self::OffsetWithNext => {
                "query = { offset = '{offset}' }\npaging = 'offset'\nnext = '/next'"
            }
            Self::CursorInBody => {
                "method = 'POST'\nbody = { cursor = '{cursor}' }\npaging = 'cursor'\nnext = '/next'"
            }
            Self::CursorInQuery => {
                "query = { cursor = '{cursor}' }\npaging = 'cursor'\nnext = '/next'"
            }
            Self::PageToken => {
                "method = 'POST'\nbody = { cursor = '{cursor}' }\npaging = 'page-token'\nnext = '/next'"
            }
            Self::WholeLink | Self::RootedLink => {
                "query = { from = '{from}' }\npaging = 'next-link'\nnext = '/next'"
            }
            Self::QueryLink => "query = { from = '{from}' }\npaging = 'next-link'\nnext = '/next'",
            Self::LinkFromPost => {
                "method = 'POST'\nbody = { from = '{from}' }\npaging = 'next-link'\nnext = '/next'"
            }
            Self::None => "paging = 'none'",
            Self::Job => "query = { cursor = '{cursor}' }\npaging = 'cursor'\nnext = '/next'",
            Self::Each => "query = { page = '{page}' }\npaging = 'page-number'",
            Self::EachByCursor => {
                "query = { cursor = '{cursor}' }\npaging = 'cursor'\nnext = '/next'"
            }
        }
    }

    /// The catalogue.
    fn catalog(self) -> String {
        let (endpoint, path, more) = match self {
            Self::Job => (
                "job",
                "/jobs/{task}/rows",
                "submit = { path = '/jobs', task = '/id' }\npoll = { path = '/jobs/{task}', state = '/state', done = ['DONE'] }",
            ),
            Self::Each | Self::EachByCursor => {
                ("query", "/teams/{each}/rows", "each = { dataset = 'teams', column = 'team' }")
            }
            _ => ("query", "/v1/rows", ""),
        };
        format!(
            "[dataset.rows]\nversion = 1\nid = ['team', 'id']\ntime = 'at'\ncolumns = 'row'\n\
             [dataset.rows.{endpoint}]\npath = '{path}'\nrows = '/rows'\npage_size = {PAGE}\n{}\n{more}\n\
             [dataset.teams]\nversion = 1\nid = 'id'\ntime = 'at'\nsnapshot = true\ncolumns = 'row'\n\
             query = {{ path = '/teams', rows = '', paging = 'none' }}\n\
             [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\n",
            self.endpoint()
        )
    }

    /// How a page names page `at`, from 0.
    pub fn next(self, at: usize) -> String {
        match self {
            Self::WholeLink => format!("http://api.example/v1/rows?cursor=c{at}"),
            Self::RootedLink => format!("/v1/rows?cursor=c{at}"),
            Self::QueryLink | Self::LinkFromPost => format!("?cursor=c{at}"),
            Self::PageWithNext => (at + 1).to_string(),
            _ => format!("c{at}"),
        }
    }

    /// Whether pages have numbers.
    fn is_numbered(self) -> bool {
        matches!(
            self,
            Self::PageInBody
                | Self::PageInQuery
                | Self::PageWithNext
                | Self::OffsetInQuery
                | Self::OffsetInBody
                | Self::OffsetWithNext
                | Self::Each
        )
    }

    fn teams(self) -> &'static [&'static str] {
        if matches!(self, Self::Each | Self::EachByCursor) { &TEAMS } else { &[""] }
    }
}

impl Cut {
    /// The rows of each page.
    fn pages(self) -> Vec<std::ops::Range<usize>> {
        match self {
            Self::Whole => std::iter::once(0..ROWS).collect(),
            Self::Even => vec![0..5, 5..ROWS],
            Self::Short => vec![0..4, 4..8, 8..ROWS],
            Self::ShortMiddle => vec![0..4, 4..5, 5..9, 9..ROWS],
            Self::EmptyMiddle => vec![0..4, 4..4, 4..8, 8..ROWS],
            Self::Sliding => vec![0..4, 3..7, 6..ROWS, 9..ROWS],
            Self::Nothing => vec![],
        }
    }
}

/// What a page after the last is.
fn beyond(end: End) -> StubResponse {
    match end {
        End::NoContent => (204, String::new()),
        End::NoList => (200, "{}".to_owned()),
        End::NullList => (200, r#"{"rows":null}"#.to_owned()),
        _ => (200, r#"{"rows":[]}"#.to_owned()),
    }
}

/// Which page is asked for, from 0.
fn position(pages: &[std::ops::Range<usize>], asked: &StubRequest) -> usize {
    let said = |name: &str| {
        let body = asked.body.get(name).or(asked.body.pointer(&format!("/paging/{name}"))).cloned();
        body.map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
            .or(asked.param(name))
    };
    if let Some(page) = said("page") {
        return page.parse::<usize>().unwrap() - 1;
    }
    if let Some(offset) = said("offset") {
        let before = |at: &usize| pages[..*at].iter().map(ExactSizeIterator::len).sum::<usize>();
        let offset: usize = offset.parse().unwrap();
        return (0..pages.len()).find(|at| before(at) == offset).unwrap_or(pages.len());
    }
    said("cursor").map_or(0, |cursor| cursor.strip_prefix('c').unwrap().parse().unwrap())
}

/// The reply to a request of a page.
fn page(form: Form, cut: Cut, end: End, trouble: PagingFault, asked: &StubRequest) -> StubResponse {
    let pages = cut.pages();
    let at = position(&pages, asked);
    let is_extra = !matches!(end, End::NoKey | End::Null | End::EmptyText | End::False);
    let last =
        if is_extra && !form.is_numbered() { pages.len() } else { pages.len().saturating_sub(1) };
    if at >= pages.len() && trouble != PagingFault::Empties {
        return beyond(end);
    }
    let team = asked.url.path().strip_prefix("/teams/").map(|path| path.trim_end_matches("/rows"));
    let team = team
        .map(|team| percent_encoding::percent_decode_str(team).decode_utf8().unwrap().into_owned());
    let row = |row: usize| {
        let said = if team.is_some() { Value::Null } else { "".into() };
        json!({ "id": format!("r{row}"), "at": format!("2024-01-01T{row:02}:00:00Z"), "team": said })
    };
    let rows: Vec<_> = pages.get(at).cloned().unwrap_or(0..0).map(row).collect();
    let mut reply = Map::from_iter([("rows".to_owned(), rows.into())]);
    let next = match (trouble, end) {
        (PagingFault::Repeats, _) => Some(form.next(1).into()),
        (PagingFault::Circles, _) if at == last => Some(form.next(0).into()),
        (PagingFault::Link(link), _) => Some(link.into()),
        _ if at < last || trouble == PagingFault::Empties => Some(form.next(at + 1).into()),
        (_, End::Null) => Some(Value::Null),
        (_, End::EmptyText) => Some("".into()),
        (_, End::False) => Some(false.into()),
        _ => None,
    };
    reply.extend(next.map(|next| ("next".to_owned(), next)));
    (200, Value::Object(reply).to_string())
}

fn answer(
    form: Form,
    cut: Cut,
    end: End,
    trouble: PagingFault,
    asked: &StubRequest,
) -> StubResponse {
    match (asked.method.as_str(), asked.url.path()) {
        ("GET", "/teams") => (
            200,
            json!(
                TEAMS.iter().chain(&TEAMS[..1]).map(|id| json!({ "id": id })).collect::<Vec<_>>()
            )
            .to_string(),
        ),
        ("POST", "/jobs") => (200, json!({ "id": "j/1" }).to_string()),
        ("GET", "/jobs/j%2F1") => (200, json!({ "state": "DONE" }).to_string()),
        ("GET" | "POST", "/v1/rows" | "/jobs/j%2F1/rows") => page(form, cut, end, trouble, asked),
        ("GET", path) if path.starts_with("/teams/") && path.ends_with("/rows") => {
            page(form, cut, end, trouble, asked)
        }
        (method, path) => (404, format!("{method} {path}")),
    }
}

impl Form {
    /// Every row that there is, as `team id`.
    pub fn rows(self, cut: Cut) -> Vec<String> {
        let count = cut.pages().last().map_or(0, |page| page.end);
        let mut rows: Vec<_> = self
            .teams()
            .iter()
            .flat_map(|team| (0..count).map(move |row| format!("{team} r{row}")))
            .collect();
        rows.sort();
        rows
    }
}

/// Runs a backfill of one day from a stub of that form.
pub fn run_scenario(form: Form, cut: Cut, end: End, trouble: PagingFault) -> PagingResult {
    backfill(
        &form.catalog(),
        &Stub::new("/oauth/token", move |asked| answer(form, cut, end, trouble, asked)),
    )
}

/// Runs a backfill of the dataset `rows` of one day, on virtual time.
pub fn backfill(catalog: &str, stub: &Arc<Stub>) -> PagingResult {
    backfill_with(catalog, "", stub)
}

/// The same with more of a configuration.
pub fn backfill_with(catalog: &str, more: &str, stub: &Arc<Stub>) -> PagingResult {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rows.toml"), catalog).unwrap();
    let config = "
        [job]\nto = '2024-01-02T00:00:00Z'\ndatasets = ['rows']
        [source]\nplatform = 'custom'\ncatalog = 'rows.toml'
        api_url = 'https://api.example'\nlogin_url = 'https://api.example'
        [budget]\nrequests = 0\n";
    std::fs::write(folder.path().join("config.toml"), format!("{config}{more}")).unwrap();
    let path = Some(folder.path().join("config.toml"));
    let config = Config::load(&Overrides { path, ..Overrides::default() }).unwrap().remove(0);
    let memory = Arc::new(InMemory::new());
    let output = OutputStore::over(Arc::clone(&memory) as Arc<_>);
    let (ledger, host) =
        (Ledger::in_memory().unwrap(), "http://api.example/".parse::<url::Url>().unwrap());
    let environment = Environment {
        api: host.clone(),
        login: host,
        transport: Arc::clone(stub) as Arc<_>,
        output: output.clone(),
        ledger: ledger.clone(),
        metrics: Arc::new(Metrics::default()),
        shutdown: CancellationToken::new(),
        seed: 1,
    };
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let outcome = System::with_tokio_rt(paused).block_on(async {
        let plan = run::prepare(&config, Scope::Missing, &output, &ledger).await.unwrap();
        run::backfill(&config, plan, &environment).await.unwrap().outcome
    });
    let code = outcome.exit_code() as u8;
    let gaps = match outcome {
        RunOutcome::Complete => Vec::new(),
        RunOutcome::Gaps(gaps) => gaps.into_iter().map(|gap| gap.reason).collect(),
        RunOutcome::Denied(reason) => vec![reason],
        other => panic!("{other}"),
    };
    PagingResult { rows: rows(&memory, &ledger), gaps, code, seen: stub.seen() }
}

/// The rows of the recorded files, as `team id`.
fn rows(store: &InMemory, ledger: &Ledger) -> Vec<String> {
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut rows = Vec::new();
    for path in ledger.file_paths().unwrap() {
        let content = runtime
            .block_on(async { store.get(&path.into()).await.unwrap().bytes().await.unwrap() });
        for batch in ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let [team, id] = ["team", "id"]
                .map(|name| batch.column_by_name(name).unwrap().as_string::<i32>().clone());
            rows.extend(
                (0..batch.num_rows()).map(|row| format!("{} {}", team.value(row), id.value(row))),
            );
        }
    }
    rows.sort();
    rows
}
