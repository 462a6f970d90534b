//! The asynchronous queries that are played, as data.

use std::ops::Range;

use crate::{
    sandbox::{
        error::ApiError,
        genesys::{audits, conversations, presence, records::Records, renderer::Renderer, usage},
    },
    time::interval::Interval,
};

/// One kind of asynchronous query.
#[derive(Debug)]
pub(crate) struct JobKind {
    /// Where it is submitted; its jobs lie below.
    pub(crate) path: &'static str,
    pub(crate) permission: &'static str,
    pub(crate) vocabulary: JobVocabulary,
    /// The field of a page that has the rows.
    pub(crate) rows: &'static str,
    /// Rows of a page: unless it is asked for others, and at most (0: as the settings say). None
    /// where all rows come at once.
    pub(crate) page_size: Option<[u32; 2]>,
    /// Reads the body of a request, given the seed and until when details are available.
    pub(crate) read: fn(&[u8], u64, i64) -> Result<JobQuery, ApiError>,
}

/// In which words the platform talks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobVocabulary {
    /// `jobId`, `state: FULFILLED`, a `cursor`; how far details are available, and DELETE.
    Details,
    /// `id`, `state: Succeeded`, a `cursor`.
    Audits,
    /// `executionId`, and a `queryStatus` that stands in the one page of results.
    Usage,
}

/// The kinds.
pub(crate) static KINDS: [JobKind; 4] = [
    JobKind {
        path: "/api/v2/analytics/conversations/details/jobs",
        permission: "analytics:conversationDetail:view",
        vocabulary: JobVocabulary::Details,
        rows: "conversations",
        page_size: Some([1000, 0]),
        read: |body, seed, until| {
            conversations::ConversationQuery::read_job(body, seed, until)
                .map(|(q, most)| JobQuery::Conversations(q, most))
        },
    },
    JobKind {
        path: "/api/v2/analytics/users/details/jobs",
        permission: presence::PERMISSION,
        vocabulary: JobVocabulary::Details,
        rows: "userDetails",
        page_size: Some([1000, 0]),
        read: |body, _, until| {
            presence::PresenceQuery::read_job(body, until).map(|(q, most)| JobQuery::Users(q, most))
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

/// The kind whose path this is, or lies above it.
pub(crate) fn kind(path: &str) -> Option<&'static JobKind> {
    KINDS.iter().find(|kind| {
        path.strip_prefix(kind.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

impl JobKind {
    /// Whether it tells how far details are available, and lets jobs be deleted.
    pub(crate) fn has_availability(&self) -> bool {
        self.vocabulary == JobVocabulary::Details
    }

    /// Whether a job has a state apart from its results.
    pub(crate) fn tells_its_state(&self) -> bool {
        self.vocabulary != JobVocabulary::Usage
    }
}

/// What is asked; of details at most so many rows.
#[derive(Debug)]
pub(crate) enum JobQuery {
    Conversations(conversations::ConversationQuery, usize),
    Users(presence::PresenceQuery, usize),
    Audits(audits::AuditQuery),
    Usage(Interval),
}

impl JobQuery {
    /// How many rows there are.
    pub(crate) fn count(&self, records: &Records) -> usize {
        match self {
            Self::Conversations(query, most) => query.results(records, &(0..0)).1.min(*most),
            Self::Users(query, most) => query.users(records.seed).len().min(*most),
            Self::Audits(query) => query.count(records.seed),
            Self::Usage(interval) => usage::count(*interval),
        }
    }

    /// Writes some of the rows, as elements of a list.
    pub(crate) fn write(&self, records: &Records, renderer: &mut Renderer, rows: Range<usize>) {
        match self {
            Self::Conversations(query, _) => {
                renderer.tells_attributes = true;
                query
                    .results(records, &rows)
                    .0
                    .iter()
                    .for_each(|facts| renderer.conversation(facts));
            }
            Self::Users(query, _) => {
                let users = query.users(records.seed);
                users
                    .get(rows)
                    .unwrap_or_default()
                    .iter()
                    .for_each(|&user| renderer.user(query, user));
            }
            Self::Audits(query) => query.write(renderer, rows),
            Self::Usage(interval) => usage::write(renderer, *interval, rows),
        }
    }
}
