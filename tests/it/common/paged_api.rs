//! The forms of pagination as catalogues, and a stub API that serves each of them.

use serde_json::{Map, Value, json};

use super::{
    stub_backfill::{StubResult, backfill},
    stub_transport::{Stub, StubRequest, StubResponse},
};

/// The number of rows of a list.
pub const ROWS: usize = 10;
/// The number of rows of a full page.
const PAGE: usize = 4;
/// The parents of the forms that query each parent.
const TEAMS: [&str; 3] = ["red", "o'n/e?", "blue"];

/// A form of pagination.
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
    Parent,
    ParentByCursor,
}

/// How the rows are distributed over pages.
#[derive(Debug, Clone, Copy)]
pub enum PageSizes {
    /// One page.
    Whole,
    /// Pages of equal size.
    Even,
    /// The last page has fewer rows.
    ShortLast,
    /// A page in the middle has fewer rows.
    ShortMiddle,
    /// A page in the middle has no rows.
    EmptyMiddle,
    /// A row is inserted at the front before every page, so each page begins with the last row of
    /// the previous one.
    Sliding,
    /// No rows.
    Nothing,
}

/// The form of the last page, or of an extra page after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The last page has no key for the next page.
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

/// A fault of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagingFault {
    None,
    /// Every page names the second.
    Repeats,
    /// The last page names the first.
    Circles,
    /// After the last page follow pages without rows that name another page.
    Empties,
    /// Every page names this link.
    Link(&'static str),
}

impl Form {
    /// The keys of the dataset's endpoint.
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
            Self::Parent => "query = { page = '{page}' }\npaging = 'page-number'",
            Self::ParentByCursor => {
                "query = { cursor = '{cursor}' }\npaging = 'cursor'\nnext = '/next'"
            }
        }
    }

    fn catalog(self) -> String {
        let (endpoint, path, more) = match self {
            Self::Job => (
                "job",
                "/jobs/{task}/rows",
                "submit = { path = '/jobs', task = '/id' }\npoll = { path = '/jobs/{task}', state = '/state', done = ['DONE'] }",
            ),
            Self::Parent | Self::ParentByCursor => {
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

    /// The cursor or link of the page with index `at`.
    pub fn next(self, at: usize) -> String {
        match self {
            Self::WholeLink => format!("http://api.example/v1/rows?cursor=c{at}"),
            Self::RootedLink => format!("/v1/rows?cursor=c{at}"),
            Self::QueryLink | Self::LinkFromPost => format!("?cursor=c{at}"),
            Self::PageWithNext => (at + 1).to_string(),
            _ => format!("c{at}"),
        }
    }

    /// Whether pages are requested by number or offset.
    fn is_numbered(self) -> bool {
        matches!(
            self,
            Self::PageInBody
                | Self::PageInQuery
                | Self::PageWithNext
                | Self::OffsetInQuery
                | Self::OffsetInBody
                | Self::OffsetWithNext
                | Self::Parent
        )
    }

    fn teams(self) -> &'static [&'static str] {
        if matches!(self, Self::Parent | Self::ParentByCursor) { &TEAMS } else { &[""] }
    }
}

impl PageSizes {
    /// The rows of each page.
    fn pages(self) -> Vec<std::ops::Range<usize>> {
        match self {
            Self::Whole => std::iter::once(0..ROWS).collect(),
            Self::Even => vec![0..5, 5..ROWS],
            Self::ShortLast => vec![0..4, 4..8, 8..ROWS],
            Self::ShortMiddle => vec![0..4, 4..5, 5..9, 9..ROWS],
            Self::EmptyMiddle => vec![0..4, 4..4, 4..8, 8..ROWS],
            Self::Sliding => vec![0..4, 3..7, 6..ROWS, 9..ROWS],
            Self::Nothing => vec![],
        }
    }
}

/// The reply to a request for a page after the last.
fn page_after_last(end: End) -> StubResponse {
    match end {
        End::NoContent => (204, String::new()),
        End::NoList => (200, "{}".to_owned()),
        End::NullList => (200, r#"{"rows":null}"#.to_owned()),
        _ => (200, r#"{"rows":[]}"#.to_owned()),
    }
}

/// The index of the requested page.
fn position(pages: &[std::ops::Range<usize>], request: &StubRequest) -> usize {
    let parameter = |name: &str| {
        let body =
            request.body.get(name).or(request.body.pointer(&format!("/paging/{name}"))).cloned();
        body.map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
            .or(request.param(name))
    };
    if let Some(page) = parameter("page") {
        return page.parse::<usize>().unwrap() - 1;
    }
    if let Some(offset) = parameter("offset") {
        let before = |at: &usize| pages[..*at].iter().map(ExactSizeIterator::len).sum::<usize>();
        let offset: usize = offset.parse().unwrap();
        return (0..pages.len()).find(|at| before(at) == offset).unwrap_or(pages.len());
    }
    parameter("cursor").map_or(0, |cursor| cursor.strip_prefix('c').unwrap().parse().unwrap())
}

/// The reply to a request of a page.
fn page(
    form: Form,
    sizes: PageSizes,
    end: End,
    fault: PagingFault,
    request: &StubRequest,
) -> StubResponse {
    let pages = sizes.pages();
    let at = position(&pages, request);
    let is_extra = !matches!(end, End::NoKey | End::Null | End::EmptyText | End::False);
    let last =
        if is_extra && !form.is_numbered() { pages.len() } else { pages.len().saturating_sub(1) };
    if at >= pages.len() && fault != PagingFault::Empties {
        return page_after_last(end);
    }
    let team =
        request.url.path().strip_prefix("/teams/").map(|path| path.trim_end_matches("/rows"));
    let team = team
        .map(|team| percent_encoding::percent_decode_str(team).decode_utf8().unwrap().into_owned());
    let row = |row: usize| {
        let team = if team.is_some() { Value::Null } else { "".into() };
        json!({ "id": format!("r{row}"), "at": format!("2024-01-01T{row:02}:00:00Z"), "team": team })
    };
    let rows: Vec<_> = pages.get(at).cloned().unwrap_or(0..0).map(row).collect();
    let mut reply = Map::from_iter([("rows".to_owned(), rows.into())]);
    let next = match (fault, end) {
        (PagingFault::Repeats, _) => Some(form.next(1).into()),
        (PagingFault::Circles, _) if at == last => Some(form.next(0).into()),
        (PagingFault::Link(link), _) => Some(link.into()),
        _ if at < last || fault == PagingFault::Empties => Some(form.next(at + 1).into()),
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
    sizes: PageSizes,
    end: End,
    fault: PagingFault,
    request: &StubRequest,
) -> StubResponse {
    match (request.method.as_str(), request.url.path()) {
        ("GET", "/teams") => (
            200,
            json!(
                TEAMS.iter().chain(&TEAMS[..1]).map(|id| json!({ "id": id })).collect::<Vec<_>>()
            )
            .to_string(),
        ),
        ("POST", "/jobs") => (200, json!({ "id": "j/1" }).to_string()),
        ("GET", "/jobs/j%2F1") => (200, json!({ "state": "DONE" }).to_string()),
        ("GET" | "POST", "/v1/rows" | "/jobs/j%2F1/rows") => page(form, sizes, end, fault, request),
        ("GET", path) if path.starts_with("/teams/") && path.ends_with("/rows") => {
            page(form, sizes, end, fault, request)
        }
        (method, path) => (404, format!("{method} {path}")),
    }
}

impl Form {
    /// Every row, as `team id`.
    pub fn rows(self, sizes: PageSizes) -> Vec<String> {
        let count = sizes.pages().last().map_or(0, |page| page.end);
        let mut rows: Vec<_> = self
            .teams()
            .iter()
            .flat_map(|team| (0..count).map(move |row| format!("{team} r{row}")))
            .collect();
        rows.sort();
        rows
    }
}

/// Backfills one day from a stub of that form.
pub fn run_scenario(form: Form, sizes: PageSizes, end: End, fault: PagingFault) -> StubResult {
    backfill(
        &form.catalog(),
        &Stub::new("/oauth/token", move |request| answer(form, sizes, end, fault, request)),
    )
}
