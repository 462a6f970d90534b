//! What the data extraction extracts: entities, their rows, and the file of an interval.

use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::sandbox::{
    cxone::{
        contacts::{Contact, Tenant},
        entities,
        rows::{Row, Rows},
    },
    set,
    time::{DAY_MS, TimeRange, iso},
};

/// The longest time from the start of a contact to the submission of its last evaluation.
const MAX_DELAY: i64 = 3 * DAY_MS;
const MINUTE: i64 = 60_000;

/// An entity, whose rows belong to contacts.
#[derive(Debug)]
pub(super) struct Extract {
    pub(super) entity: &'static str,
    pub(super) versions: &'static [&'static str],
    /// The columns of the file: the header, and the name of the column in the truth.
    columns: &'static [(&'static str, &'static str)],
    /// The rows of a contact, each with its time.
    of: fn(&Contact) -> Vec<(i64, Value)>,
}

/// The entities that are known.
pub(super) const EXTRACTS: &[Extract] = &[
    Extract {
        entity: "qm-workflows",
        versions: &["3", "4"],
        columns: &[
            ("tenantName", "tenantName"),
            ("agentId", "agentId"),
            ("type", "type"),
            ("workflowStatus", "workflowStatus"),
            ("autoAcknowledged", "autoAcknowledged"),
            ("workflowId", "workflowId"),
            ("formName", "formName"),
            ("formVersion", "formVersion"),
            ("startDate", "startDate"),
            ("submissionDate", "submissionDate"),
            ("lastUpdated", "lastUpdated"),
            ("scorePercentage", "scorePercentage"),
            ("score", "score"),
            ("maximumPossibleScore", "maximumPossibleScore"),
            ("userReviewComments", "userReviewComments"),
            ("acdId", "acdId"),
            ("interactionStartDate", "interactionStartDate"),
            ("teamId", "teamId"),
            ("teamName", "teamName"),
        ],
        of: workflows,
    },
    Extract {
        entity: "recording-interaction-metadata",
        versions: &["7", "10", "12"],
        columns: &[
            ("Segment ID", "segmentId"),
            ("Interaction Start Time", "startTime"),
            ("Interaction End Time", "endTime"),
            ("Agent 1 Contact Number", "agent1ContactNumber"),
        ],
        of: recordings,
    },
];

impl Extract {
    /// The rows whose time lies in an interval.
    pub(super) fn rows(&self, tenant: Tenant, interval: TimeRange) -> Rows {
        let wider = TimeRange::new(interval.from - MAX_DELAY, interval.to).unwrap_or(interval);
        let contacts = Contact::inside(tenant, wider);
        let of = self.of;
        let all = contacts.flat_map(move |contact| of(&contact));
        Box::new(
            all.filter(move |(time, _)| interval.contains(*time)).map(|(_, row)| Row::Value(row)),
        )
    }

    /// The file: a byte order mark, a line of names, one line per row.
    pub(super) fn csv(&self, tenant: Tenant, interval: TimeRange) -> Response<Bytes> {
        let headers: Vec<_> = self.columns.iter().map(|(header, _)| *header).collect();
        let mut out = format!("\u{feff}{}\r\n", headers.join(","));
        for row in self.rows(tenant, interval).map(Row::write) {
            let fields = self.columns.iter().map(|(_, name)| match &row[*name] {
                Value::Null => String::new(),
                Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
                other => other.to_string(),
            });
            out.push_str(&fields.collect::<Vec<_>>().join(","));
            out.push_str("\r\n");
        }
        let mut reply = Response::new(out.into());
        set(&mut reply, CONTENT_TYPE.as_str(), "text/csv");
        reply
    }
}

/// The evaluations of a contact. Some are disputed and begin again: the same id, another start.
fn workflows(contact: &Contact) -> Vec<(i64, Value)> {
    let number = contact.id & 0xffff_ffff;
    if contact.talked.is_none() || number % 3 != 0 {
        return Vec::new();
    }
    // whole days after the contact, so that the first of a day is submitted on a first millisecond
    let first = contact.start + (1 + number % 2) * DAY_MS;
    let times = [first, first + DAY_MS - 20 * MINUTE];
    let round = |(round, at): (usize, i64)| {
        let score = (contact.id % 40) as f64 / 2.0 + round as f64;
        let row = json!({
            "tenantName": "sandbox",
            "agentId": contact.agent.to_string(),
            "type": "Evaluation",
            "workflowStatus": "COMPLETED",
            "autoAcknowledged": "false",
            "workflowId": format!("workflow-{}", contact.id),
            "formName": "Courtesy, \"tone\"",
            "formVersion": "2",
            "startDate": iso(at - 10 * MINUTE),
            "submissionDate": iso(at),
            "lastUpdated": iso(at + MINUTE),
            "scorePercentage": score * 4.0,
            "score": score,
            "maximumPossibleScore": 25.0,
            "userReviewComments": (round > 0).then_some("begun again,\nafter a dispute"),
            "acdId": contact.id.to_string(),
            "interactionStartDate": iso(contact.start),
            "teamId": entities::team_of(contact.agent).to_string(),
            "teamName": format!("Team {}", entities::team_of(contact.agent)),
        });
        (at, row)
    };
    times.into_iter().take(if number % 9 == 0 { 2 } else { 1 }).enumerate().map(round).collect()
}

/// The recording of a contact, if an agent talked.
fn recordings(contact: &Contact) -> Vec<(i64, Value)> {
    let Some(talked) = contact.talked else { return Vec::new() };
    let row = json!({
        "segmentId": format!("segment-{}", contact.id),
        "startTime": iso(contact.start),
        "endTime": iso(contact.start + (contact.queued + talked) * 1_000),
        "agent1ContactNumber": contact.id.to_string(),
    });
    vec![(contact.start, row)]
}
