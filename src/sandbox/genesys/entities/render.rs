//! Writes the entities of the organisation.

use serde_json::{Value, json};

use crate::sandbox::{
    genesys::renderer::{AGENTS, DIVISIONS, FLOWS, NAMES},
    rng::{Pool, Rng, Uuid, id},
};

/// The number of active users; the first of them are the agents.
pub(crate) const ACTIVE_USERS: u64 = 520;
pub(crate) const PRESENCES: [&str; 10] = [
    "Offline",
    "Available",
    "OnQueue",
    "Busy",
    "Away",
    "Meal",
    "Meeting",
    "Break",
    "Training",
    "Idle",
];

pub(crate) fn user(seed: u64, n: u64) -> Value {
    let address = format!("user{n}@example.org");
    json!({
        "id": text(seed, Pool::Agent, n),
        "name": name(n),
        "division": named(seed, Pool::Division, n % DIVISIONS, division),
        "chat": {"jabberId": format!("{n}@sandbox.example")},
        "department": if n < AGENTS { "Contact Center" } else { "Büro" },
        "email": address,
        "primaryContactInfo": [{"address": address, "mediaType": "EMAIL", "type": "PRIMARY"}],
        "addresses": [],
        "state": if n < ACTIVE_USERS { "active" } else { "inactive" },
        "username": address,
        "version": user_version(n),
        "acdAutoAnswer": n.is_multiple_of(3),
    })
}

pub(crate) fn queue(seed: u64, n: u64) -> Value {
    let joined = (0..members(n)).filter(|&n| has_joined(n)).count();
    json!({
        "id": text(seed, Pool::Queue, n),
        "name": format!("Queue {n:02}"),
        "division": named(seed, Pool::Division, n % DIVISIONS, division),
        "dateCreated": "2019-05-06T07:08:09.010Z",
        "dateModified": "2024-02-29T23:59:59Z",
        "createdBy": text(seed, Pool::Agent, 0),
        "modifiedBy": text(seed, Pool::Agent, n),
        "memberCount": members(n),
        "userMemberCount": members(n),
        "joinedMemberCount": joined,
        "mediaSettings": {"call": {"alertingTimeoutSeconds": 8}},
        "acwSettings": {"wrapupPrompt": "MANDATORY_TIMEOUT", "timeoutMs": 300_000},
        "skillEvaluationMethod": "BEST",
        "scoringMethod": "TimestampAndPriority",
        "autoAnswerOnly": false,
        "enableTranscription": n.is_multiple_of(2),
        "defaultScripts": {},
        "suppressInQueueCallRecording": true,
    })
}

/// The number of members of a queue: every agent, and some other users.
pub(crate) fn members(queue: u64) -> u64 {
    AGENTS + 5 * queue
}

fn has_joined(user: u64) -> bool {
    !user.is_multiple_of(4)
}

pub(crate) fn member(seed: u64, n: u64) -> Value {
    json!({
        "id": text(seed, Pool::Agent, n),
        "name": name(n),
        "ringNumber": n % 3 + 1,
        "joined": has_joined(n),
        "memberBy": "user",
    })
}

pub(crate) fn wrapup_code(seed: u64, n: u64) -> Value {
    json!({
        "id": text(seed, Pool::WrapUp, n),
        "name": format!("Ergebnis \"{n}\""),
        "division": named(seed, Pool::Division, 0, division),
        "dateCreated": "2020-01-02T03:04:05Z",
        "createdBy": text(seed, Pool::Agent, 0),
    })
}

pub(crate) fn skill(seed: u64, n: u64) -> Value {
    dated(
        json!({"id": text(seed, Pool::Skill, n), "name": format!("Skill {n}"), "state": "active", "version": "1"}),
    )
}

pub(crate) fn language(seed: u64, n: u64) -> Value {
    let name = ["English", "Deutsch", "日本語", "Español", "Українська"][n as usize % 5];
    dated(
        json!({"id": text(seed, Pool::Language, n), "name": name, "state": "active", "version": "3"}),
    )
}

pub(crate) fn group(seed: u64, n: u64) -> Value {
    dated(json!({
        "id": text(seed, Pool::Group, n),
        "name": format!("Gruppe {n}"),
        "memberCount": 7 * n,
        "state": "active",
        "version": 2,
        "type": "official",
        "rulesVisible": true,
        "visibility": "public",
        "rolesEnabled": false,
        "includeOwners": false,
        "callsEnabled": false,
        "owners": [user_reference(seed, n)],
    }))
}

pub(crate) fn flow(seed: u64, n: u64) -> Value {
    let version = json!({
        "id": format!("{n}.0"),
        "commitVersion": format!("{n}"),
        "configurationVersion": format!("{n}.0"),
        "type": "PUBLISH",
        "secure": false,
        "dateCreated": 1_700_000_000_000_u64 + n,
        "datePublished": "2023-11-14T22:13:20Z",
    });
    json!({
        "id": text(seed, Pool::Flow, n),
        "name": FLOWS[n as usize % FLOWS.len()],
        "division": named(seed, Pool::Division, 0, division),
        "type": "INBOUNDCALL",
        "active": true,
        "system": false,
        "deleted": false,
        "publishedVersion": version,
        "publishedBy": user_reference(seed, n),
    })
}

pub(crate) fn division(seed: u64, n: u64) -> Value {
    let name = ["Home", "Köln", "Kraków", "東京"][n as usize % 4];
    json!({"id": text(seed, Pool::Division, n), "name": name, "description": "", "homeDivision": n == 0})
}

pub(crate) fn presence(seed: u64, n: u64) -> Value {
    let name = PRESENCES[n as usize % PRESENCES.len()];
    json!({
        "id": presence_id(seed, n).to_string(),
        "type": "System",
        "languageLabels": {"en_US": name, "de": format!("{name} (de)")},
        "systemPresence": name,
        "divisionId": "*",
        "deactivated": false,
    })
}

/// The number of the definition of a presence that user details name as `ON_QUEUE`.
pub(crate) fn presence_number(system_presence: &str) -> u64 {
    let is_same = |name: &&str| name.eq_ignore_ascii_case(&system_presence.replace('_', ""));
    PRESENCES.iter().position(is_same).map_or(0, |at| at as u64)
}

/// The id of the `n`th presence definition, which user details refer to.
pub(crate) fn presence_id(seed: u64, n: u64) -> Uuid {
    Rng::new([seed, 0x9e5f, n, 0]).uuid()
}

fn dated(mut entity: Value) -> Value {
    entity["dateModified"] = "2023-03-04T05:06:07.089Z".into();
    entity
}

/// A reference to an entity, with its name.
fn named(seed: u64, pool: Pool, n: u64, entity: fn(u64, u64) -> Value) -> Value {
    json!({"id": text(seed, pool, n), "name": entity(seed, n)["name"]})
}

/// A reference to a user, with its version.
fn user_reference(seed: u64, n: u64) -> Value {
    json!({"id": text(seed, Pool::Agent, n), "name": name(n), "version": user_version(n)})
}

fn user_version(n: u64) -> u64 {
    n % 9 + 1
}

/// The name of this agent, as conversations have it.
fn name(n: u64) -> String {
    NAMES[n as usize % NAMES.len()].replace('\\', "")
}

pub(crate) fn text(seed: u64, pool: Pool, n: u64) -> String {
    id(seed, pool, n).to_string()
}
