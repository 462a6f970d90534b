//! Which rows an interval holds, path by path: found cheaply, written one by one.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    sandbox::{
        Truth,
        cxone::{
            contact::{Contact, STATES, duration},
            entities, summary,
        },
    },
    time::interval::{DAY_MS, Interval, iso},
};

/// Rows a piece of the truth: some hundred kilobytes.
const TRUTH_PIECE: usize = 400;
/// The longest that a contact's last state begins after the contact, in milliseconds.
const LONGEST: i64 = 3_600_000;
/// States that an agent goes through on a day.
const AGENT_STATES: i64 = 8;

/// What the rows follow from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed {
    pub(super) seed: u64,
    pub(super) a_day: u32,
}

/// A row that is not written yet.
#[derive(Debug)]
pub(super) enum Row {
    /// As it is for good, or as it was before it changed.
    Contact(Contact, bool),
    State(Contact, usize),
    Custom(Contact, usize),
    Interaction(Contact),
    /// Agent, number of the state, and when it began.
    AgentState(i64, i64, i64),
    Made(Value),
}

impl Row {
    pub(super) fn write(self) -> Value {
        match self {
            Self::Contact(contact, last) => contact.row(last),
            Self::State(contact, state) => contact.state(state),
            Self::Custom(contact, field) => contact.custom(field),
            Self::Interaction(contact) => contact.interaction(),
            Self::AgentState(agent, index, start) => agent_state(agent, index, start),
            Self::Made(value) => value,
        }
    }
}

pub(super) type Rows = Box<dyn Iterator<Item = Row> + Send>;

/// What `path` holds of an interval, each row once and as it is for good; none if it is not played.
pub(super) fn of(world: Seed, path: &str, interval: Interval) -> Option<Rows> {
    let contacts = Contact::inside(world.seed, world.a_day, interval);
    Some(match path {
        "contacts/completed" => Box::new(contacts.map(|contact| Row::Contact(contact, true))),
        "contacts/custom-data" => Box::new(contacts.flat_map(|contact| {
            (0..contact.fields()).map(move |field| Row::Custom(contact, field))
        })),
        "contacts/state-history" => states(world, interval),
        "agents/interaction-history" => {
            Box::new(contacts.filter(|contact| contact.talked.is_some()).map(Row::Interaction))
        }
        "agents/state-history" => agent_states(interval),
        _ => {
            let made = entities::list(path).or_else(|| summary::rows(path, contacts))?;
            Box::new(made.into_iter().map(Row::Made))
        }
    })
}

/// The same as pages tell it: some contacts come as they were, and at the end once more.
pub(super) fn told(world: Seed, path: &str, interval: Interval) -> Option<Rows> {
    let rows = of(world, path, interval)?;
    if path != "contacts/completed" {
        return Some(rows);
    }
    let first = Contact::inside(world.seed, world.a_day, interval);
    let again =
        Contact::inside(world.seed, world.a_day, interval).filter(|contact| contact.changed);
    let first = first.map(|contact| Row::Contact(contact, !contact.changed));
    Some(Box::new(first.chain(again.map(|contact| Row::Contact(contact, true)))))
}

/// The states that began inside an interval, whenever their contacts did.
fn states(world: Seed, interval: Interval) -> Rows {
    let wider = Interval::new(interval.from_ms() - LONGEST, interval.to_ms()).unwrap_or(interval);
    let contacts = Contact::inside(world.seed, world.a_day, wider);
    let all = contacts.flat_map(|contact| (0..STATES.len()).map(move |state| (contact, state)));
    let inside = all.filter(move |(contact, state)| {
        contact.state_start(*state).is_some_and(|at| interval.contains(at))
    });
    Box::new(inside.map(|(contact, state)| Row::State(contact, state)))
}

fn agent_states(interval: Interval) -> Rows {
    let days = interval.from_ms().div_euclid(DAY_MS)..=(interval.to_ms() - 1).div_euclid(DAY_MS);
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
        "teamId": entities::team_of(agent),
    })
}

/// The rows as NDJSON, in pieces of a bounded size.
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
