//! The kinds of asynchronous queries, as data.

use std::ops::Range;

use crate::sandbox::{
    error::ApiError,
    genesys::{
        audits,
        conversations::{ConversationQuery, records::Records},
        renderer::Renderer,
        usage, users,
    },
    time::TimeRange,
};

/// One kind of asynchronous query.
#[derive(Debug)]
pub(crate) struct JobKind {
    /// The path of submissions; its jobs are below it.
    pub(crate) path: &'static str,
    pub(crate) permission: &'static str,
    pub(crate) vocabulary: JobVocabulary,
    /// The field of a page that holds the rows.
    pub(crate) rows: &'static str,
    /// Rows of a page: the default and the maximum (0 = [`JobSettings::page_size`]). `None` if all
    /// rows come at once.
    ///
    /// [`JobSettings::page_size`]: super::job::JobSettings::page_size
    pub(crate) page_size: Option<[u32; 2]>,
    /// Reads the body of a request, given the seed and the time up to which details are available.
    pub(crate) read: fn(&[u8], u64, i64) -> Result<JobQuery, ApiError>,
}

/// The names that the platform uses for ids, states and pages of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobVocabulary {
    /// `jobId`, `state: FULFILLED`, a `cursor`, the data availability, and DELETE.
    Details,
    /// `id`, `state: Succeeded`, a `cursor`.
    Audits,
    /// `executionId`, and a `queryStatus` in the single page of results.
    Usage,
}

pub(crate) static KINDS: [JobKind; 4] = [
    JobKind {
        path: "/api/v2/analytics/conversations/details/jobs",
        permission: "analytics:conversationDetail:view",
        vocabulary: JobVocabulary::Details,
        rows: "conversations",
        page_size: Some([1000, 0]),
        read: |body, seed, until| {
            ConversationQuery::read_job(body, seed, until)
                .map(|(query, limit)| JobQuery::Conversations(query, limit))
        },
    },
    JobKind {
        path: "/api/v2/analytics/users/details/jobs",
        permission: users::PERMISSION,
        vocabulary: JobVocabulary::Details,
        rows: "userDetails",
        page_size: Some([1000, 0]),
        read: |body, _, until| {
            users::UserDetailsQuery::read_job(body, until)
                .map(|(query, limit)| JobQuery::Users(query, limit))
        },
    },
    JobKind {
        path: "/api/v2/audits/query",
        permission: "audits:audit:view",
        vocabulary: JobVocabulary::Audits,
        rows: "entities",
        page_size: Some([25, 500]),
        read: |body, _, _| audits::AuditQuery::read(body).map(JobQuery::Audits),
    },
    JobKind {
        path: "/api/v2/usage/query",
        permission: "usage:organization:view",
        vocabulary: JobVocabulary::Usage,
        rows: "results",
        page_size: None,
        read: |body, _, _| usage::read(body).map(JobQuery::Usage),
    },
];

/// The kind at this path or above it.
pub(crate) fn kind(path: &str) -> Option<&'static JobKind> {
    KINDS.iter().find(|kind| {
        path.strip_prefix(kind.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

impl JobKind {
    /// Whether it has a data availability, and jobs that can be deleted.
    pub(crate) fn has_availability(&self) -> bool {
        self.vocabulary == JobVocabulary::Details
    }

    /// Whether the state of a job has a path of its own.
    pub(crate) fn has_state(&self) -> bool {
        self.vocabulary != JobVocabulary::Usage
    }
}

/// The query of a job; details with the limit of their rows.
#[derive(Debug)]
pub(crate) enum JobQuery {
    Conversations(ConversationQuery, usize),
    Users(users::UserDetailsQuery, usize),
    Audits(audits::AuditQuery),
    Usage(TimeRange),
}

impl JobQuery {
    /// The number of rows.
    pub(crate) fn count(&self, records: &Records) -> usize {
        match self {
            Self::Conversations(query, limit) => query.results(records, &(0..0)).1.min(*limit),
            Self::Users(query, limit) => query.users(records.seed).len().min(*limit),
            Self::Audits(query) => query.count(records.seed),
            Self::Usage(interval) => usage::count(*interval),
        }
    }

    /// Writes these rows as elements of a list.
    pub(crate) fn write(&self, records: &Records, renderer: &mut Renderer, rows: Range<usize>) {
        match self {
            Self::Conversations(query, _) => {
                renderer.with_attributes = true;
                renderer.variation = records.variation;
                for facts in &query.results(records, &rows).0 {
                    renderer.conversation(facts);
                }
            }
            Self::Users(query, _) => {
                let users = query.users(records.seed);
                for &user in users.get(rows).unwrap_or_default() {
                    renderer.user(query, user);
                }
            }
            Self::Audits(query) => query.write(renderer, rows),
            Self::Usage(interval) => usage::write(renderer, *interval, rows),
        }
    }
}
