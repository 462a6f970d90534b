//! Pages that mean something else than they seem to, or say it in another form.

use super::{CASE, Case, Rows, expect};

/// The queues of the sandbox, with the paging of its own catalogue.
const QUEUES: Case = Case {
    settings: &["job.datasets=[\"queues\"]"],
    dataset: ("queues", "id"),
    rows: Rows::Count(24),
    most_requests: 10,
    ..CASE
};

/// The queues of the sandbox by links from page to page.
const LINKED: Case = Case { catalog: NEXT_LINK, ..QUEUES };

/// A catalog of the queues, whose pages are linked by these keys.
macro_rules! queues {
    ($paging:literal) => {
        concat!(
            "[dataset.queues]
            version = 1
            id = 'id'
            time = 'snapshotTime'
            snapshot = true
            columns = 'queue'
            [dataset.queues.query]
            path = '/api/v2/routing/queues'
            query = { pageSize = '{page_size}' }
            rows = '/entities'
            page_size = 20
            ",
            $paging,
            "
            [type.queue]
            id = 'string'
            snapshotTime = 'timestamp'
            "
        )
    };
}

const NEXT_LINK: &str = queues!("paging = 'next-link'\nnext = '/nextUri'");
const LINK_HEADER: &str = queues!("paging = 'link-header'");

/// A data extraction of NICE CXone whose file is no such file.
const NO_FILE: Case = Case {
    settings: &["source.platform=nice-cxone", "job.datasets=[\"qm-workflows\"]"],
    dataset: ("qm-workflows", "workflowId"),
    code: 1,
    rows: Rows::None,
    most_requests: 20,
    ..CASE
};

/// Presence definitions, whose pages have no total.
const PRESENCES: Case = Case {
    settings: &["job.datasets=[\"presence-definitions\"]", "fetch.page_size=4"],
    dataset: ("presence-definitions", "id"),
    most_requests: 6,
    ..CASE
};

/// Conversations that are not committed, since it cannot be known whether any are missing.
const FAILED: Case = Case { code: 1, rows: Rows::None, ..CASE };

pub(super) const CASES: &[Case] = &[
    Case { odd: &["byte-order-mark"], ..CASE },
    Case { odd: &["byte-order-mark"], ..QUEUES },
    Case { odd: &["no-total"], ..CASE },
    Case { odd: &["odd-totals"], ..CASE },
    Case { odd: &["null-list"], ..CASE },
    Case {
        odd: &["other-key"],
        says: &["there is no list of rows at `/conversations`: the response has only `/items`"],
        ..FAILED
    },
    Case {
        odd: &["other-key"],
        code: 1,
        rows: Rows::None,
        says: &["there is no list of rows at `/entities`: the response has only `/"],
        most_requests: 20,
        ..QUEUES
    },
    Case {
        odd: &["error-in-a-success"],
        code: 1,
        rows: Rows::None,
        says: &["there is no list of rows at `/entities`: the response has only `/error`"],
        most_requests: 20,
        ..QUEUES
    },
    Case {
        odd: &["page-number-ignored"],
        says: &["page 2 has the same rows as an earlier page: the server seems to ignore the page"],
        ..FAILED
    },
    Case {
        odd: &["next-uri-never-changes"],
        code: 1,
        rows: Rows::None,
        says: &["the server seems to ignore the page number"],
        ..QUEUES
    },
    Case {
        odd: &["last-page-repeated"],
        says: &["page 11 has the same rows as an earlier page", "or to repeat its last page"],
        ..FAILED
    },
    Case { odd: &["row-deleted-between-pages"], ..CASE },
    Case {
        odd: &["total-keeps-falling"],
        code: 1,
        says: &["the total fell from 199 to 198 between two pages"],
        ..CASE
    },
    Case { odd: &["link-header"], catalog: LINK_HEADER, ..QUEUES },
    Case {
        odd: &["pages-without-a-next-link"],
        rows: Rows::Count(20),
        says: &["the first page is full, but has no `/nextUri`"],
        ..LINKED
    },
    Case { odd: &["next-uri-with-another-port"], ..LINKED },
    Case { odd: &["next-uri-by-https"], ..LINKED },
    Case {
        hostile: &["next-uri-of-another-host"],
        code: 1,
        rows: Rows::None,
        says: &["said to be at http://localhost:9, which the configuration does not name"],
        ..LINKED
    },
    Case { odd: &["beyond-the-depth"], most_requests: 60, ..CASE },
    Case {
        odd: &["report-not-found"],
        says: &[
            "the header lacks `workflowId`, `startDate`, `lastUpdated`, `submissionDate`: it is `Report not found`",
        ],
        ..NO_FILE
    },
    Case {
        odd: &["csv-with-semicolons"],
        says: &["the header lacks `workflowId`", "fields must be separated by commas"],
        ..NO_FILE
    },
    Case { odd: &["csv-cut-short"], says: &["fields, but the previous record has"], ..NO_FILE },
    PRESENCES,
    Case { odd: &["only-a-page-count"], ..PRESENCES },
];

#[test]
fn the_rows_of_odd_pages_are_fetched_or_named() {
    expect(CASES);
}
