//! The rows of an interval by path: found without writing them, then written one by one.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::sandbox::{
    Truth,
    cxone::{
        contacts::{Contact, OWN_NUMBER, STATES, Tenant, duration},
        entities, summaries,
    },
    time::{DAY_MS, TimeRange, iso},
};

/// Rows per piece of the truth, so that a piece has a few hundred kilobytes.
const TRUTH_PIECE: usize = 400;
/// The longest time from the start of a contact to its last state, in milliseconds.
const MAX_STATE_DELAY: i64 = 3_600_000;
/// The number of states of an agent on a day.
const AGENT_STATES: i64 = 8;

/// A row that is not written yet.
#[derive(Debug)]
pub(super) enum Row {
    /// After its last change (`true`) or before it.
    Contact(Contact, bool),
    State(Contact, usize),
    Custom(Contact, usize),
    Interaction(Contact),
    /// Agent, number of the state, and when it began.
    AgentState(i64, i64, i64),
    Value(Value),
}

impl Row {
    pub(super) fn write(self) -> Value {
        match self {
            Self::Contact(contact, last) => contact.row(last),
            Self::State(contact, state) => contact.state(state),
            Self::Custom(contact, field) => contact.custom(field),
            Self::Interaction(contact) => contact.interaction(),
            Self::AgentState(agent, index, start) => agent_state(agent, index, start),
            Self::Value(value) => value,
        }
    }
}

pub(super) type Rows = Box<dyn Iterator<Item = Row> + Send>;

/// The rows of an interval at `path`, each once and after its last change. `None` if the sandbox
/// does not simulate the path.
pub(super) fn of(tenant: Tenant, path: &str, interval: TimeRange) -> Option<Rows> {
    let contacts = Contact::inside(tenant, interval);
    Some(match path {
        "contacts/completed" => Box::new(contacts.map(|contact| Row::Contact(contact, true))),
        "contacts/custom-data" => Box::new(contacts.flat_map(|contact| {
            (0..contact.fields()).map(move |field| Row::Custom(contact, field))
        })),
        "contacts/state-history" => states(tenant, interval),
        "agents/interaction-history" => {
            Box::new(contacts.filter(|contact| contact.talked.is_some()).map(Row::Interaction))
        }
        "agents/state-history" => agent_states(interval),
        _ => {
            let values = entities::list(path).or_else(|| summaries::rows(path, contacts))?;
            Box::new(values.into_iter().map(Row::Value))
        }
    })
}

/// The rows as pages have them: some contacts come before their last change, and again at the end.
pub(super) fn served(tenant: Tenant, path: &str, interval: TimeRange) -> Option<Rows> {
    let rows = of(tenant, path, interval)?;
    if path != "contacts/completed" {
        return Some(rows);
    }
    let first = Contact::inside(tenant, interval);
    let changed = Contact::inside(tenant, interval).filter(|contact| contact.changed);
    let first = first.map(|contact| Row::Contact(contact, !contact.changed));
    Some(Box::new(first.chain(changed.map(|contact| Row::Contact(contact, true)))))
}

/// The states that began inside an interval, whenever their contacts began.
fn states(tenant: Tenant, interval: TimeRange) -> Rows {
    let wider = TimeRange::new(interval.from - MAX_STATE_DELAY, interval.to).unwrap_or(interval);
    let contacts = Contact::inside(tenant, wider);
    let all = contacts.flat_map(|contact| (0..STATES.len()).map(move |state| (contact, state)));
    let inside = all.filter(move |(contact, state)| {
        contact.state_start(*state).is_some_and(|at| interval.contains(at))
    });
    Box::new(inside.map(|(contact, state)| Row::State(contact, state)))
}

fn agent_states(interval: TimeRange) -> Rows {
    let days = interval.from.div_euclid(DAY_MS)..=(interval.to - 1).div_euclid(DAY_MS);
    let all = days.flat_map(|day| {
        (0..AGENT_STATES).flat_map(move |index| {
            let start = day * DAY_MS + index * DAY_MS / AGENT_STATES;
            (1..=entities::AGENTS).map(move |agent| (agent, index, start + agent * 1_000))
        })
    });
    let inside = all.filter(move |(.., start)| interval.contains(*start));
    Box::new(inside.map(|(agent, index, start)| Row::AgentState(agent, index, start)))
}

fn agent_state(agent: i64, index: i64, start: i64) -> Value {
    let (state, name) =
        [(1, "Available"), (2, "Unavailable"), (4, "Working")][(index % 3) as usize];
    json!({
        "stateIndex": index,
        "startDate": iso(start),
        "agentId": agent,
        "agentStateId": state,
        "agentStateName": name,
        "agentSessionId": start.div_euclid(DAY_MS) * 1_000 + agent,
        "duration": duration(DAY_MS / AGENT_STATES / 1_000),
        "fromAddress": format!("+1555{:07}", start / 1_000 % 10_000_000),
        "toAddress": OWN_NUMBER,
        "teamId": entities::team_of(agent),
    })
}

/// The rows as NDJSON, in pieces of bounded size.
pub(super) fn lines(mut rows: Rows) -> Truth {
    Box::new(std::iter::from_fn(move || {
        let mut piece = Vec::new();
        for row in rows.by_ref().take(TRUTH_PIECE) {
            piece.extend_from_slice(row.write().to_string().as_bytes());
            piece.push(b'\n');
        }
        (!piece.is_empty()).then(|| Bytes::from(piece))
    }))
}
