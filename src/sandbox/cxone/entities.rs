//! The entities of the tenant: agents, teams, skills, campaigns and dispositions, numbered from 1.

use serde_json::{Value, json};

use crate::sandbox::time::iso;

pub(crate) const AGENTS: i64 = 40;
pub(crate) const TEAMS: i64 = 6;
pub(crate) const SKILLS: i64 = 12;
const CAMPAIGNS: i64 = 5;
pub(crate) const DISPOSITIONS: i64 = 9;
/// The service level: a contact is answered in time within this many seconds in the queue.
pub(crate) const SERVICE_LEVEL_SECONDS: i64 = 60;
/// When all entities were created: 2023-11-14.
const CREATED: i64 = 1_700_000_000_000;
const MEDIA: [(i64, &str); 4] = [(4, "Phone Call"), (3, "Chat"), (1, "E-Mail"), (9, "Digital")];
const NAMES: [&str; 5] = ["Ana", "Bo", "Chloé", "Dmitri", "Eun-ji"];

/// All rows of an entity list. `None` if `path` is not one.
pub(crate) fn list(path: &str) -> Option<Vec<Value>> {
    let (count, render): (i64, fn(i64) -> Value) = match path {
        "agents" => (AGENTS, agent),
        "teams" => (TEAMS, team),
        "skills" => (SKILLS, skill),
        "campaigns" => (CAMPAIGNS, campaign),
        "dispositions" => (DISPOSITIONS, disposition),
        _ => return None,
    };
    Some((1..=count).map(render).collect())
}

pub(crate) fn team_of(agent: i64) -> i64 {
    agent % TEAMS + 1
}

pub(crate) fn agent(n: i64) -> Value {
    json!({
        "agentId": n,
        "userName": format!("agent{n}@example.com"),
        "firstName": NAMES[(n % 5) as usize],
        "lastName": format!("Agent {n}"),
        "emailAddress": format!("agent{n}@example.com"),
        "isActive": n % 10 != 0,
        "isSupervisor": n % 8 == 1,
        "teamId": team_of(n),
        "teamName": format!("Team {}", team_of(n)),
        "timeZone": "(GMT) Coordinated Universal Time",
        "createDate": iso(CREATED),
        "lastUpdated": iso(CREATED + n * 86_400_000),
        "DivisionNo": 1,
    })
}

fn team(n: i64) -> Value {
    let agents = (1..=AGENTS).filter(|&agent| team_of(agent) == n).count();
    json!({
        "teamId": n, "teamName": format!("Team {n}"), "isActive": true, "agentCount": agents,
        "lastUpdateTime": iso(CREATED), "inViewEnabled": false,
    })
}

pub(crate) fn skill(n: i64) -> Value {
    let (media, name) = MEDIA[(n % 4) as usize];
    let campaign = n % CAMPAIGNS + 1;
    json!({
        "skillId": n, "skillName": format!("Skill {n}"), "isActive": true, "isOutbound": false,
        "mediaTypeId": media, "mediaTypeName": name,
        "campaignId": campaign, "campaignName": format!("Campaign {campaign}"),
        "serviceLevelGoal": 80, "serviceLevelThreshold": SERVICE_LEVEL_SECONDS,
        "lastUpdateTime": iso(CREATED),
    })
}

fn campaign(n: i64) -> Value {
    json!({
        "campaignId": n, "campaignName": format!("Campaign {n}"), "isActive": true,
        "lastUpdateTime": iso(CREATED),
    })
}

fn disposition(n: i64) -> Value {
    json!({
        "dispositionId": n, "dispositionName": format!("Disposition {n}"), "isActive": true,
        "classificationId": n % 3, "isPreviewDisposition": false, "lastUpdateTime": iso(CREATED),
    })
}
