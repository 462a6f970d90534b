//! Summaries of an interval by skill, agent and team.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sandbox::cxone::{
    contacts::{Contact, duration},
    entities,
};

/// The totals of a group of contacts.
#[derive(Default)]
struct ContactTotals {
    offered: i64,
    handled: i64,
    outbound: i64,
    in_time: i64,
    /// Seconds, as the two fields below.
    talked: i64,
    outbound_talked: i64,
    queued: i64,
}

impl ContactTotals {
    fn add(mut self, contact: &Contact) -> Self {
        let talked = contact.talked.unwrap_or(0);
        self.offered += 1;
        self.handled += i64::from(contact.talked.is_some());
        self.in_time += i64::from(
            contact.talked.is_some() && contact.queued <= entities::SERVICE_LEVEL_SECONDS,
        );
        self.talked += talked;
        self.queued += contact.queued;
        if contact.outbound {
            self.outbound += i64::from(contact.talked.is_some());
            self.outbound_talked += talked;
        }
        self
    }
}

/// The rows of a summary of `contacts`. `None` if `path` is not a summary.
pub(super) fn rows(path: &str, contacts: impl Iterator<Item = Contact>) -> Option<Vec<Value>> {
    type Group = (fn(&Contact) -> i64, fn(i64, &ContactTotals) -> Value);
    let (key, row): Group = match path {
        "skills/summary" => (|contact| contact.skill, skill),
        "skills/sla-summary" => (|contact| contact.skill, service_level),
        "agents/performance" => (|contact| contact.agent, agent),
        "teams/performance-total" => (|contact| entities::team_of(contact.agent), team),
        _ => return None,
    };
    let mut sums: BTreeMap<i64, ContactTotals> = BTreeMap::new();
    for contact in contacts {
        let sum = sums.entry(key(&contact)).or_default();
        *sum = std::mem::take(sum).add(&contact);
    }
    Some(sums.iter().map(|(&id, sum)| row(id, sum)).collect())
}

fn skill(id: i64, sum: &ContactTotals) -> Value {
    let mut row = entities::skill(id);
    let totals = json!({
        "abandonCount": sum.offered - sum.handled,
        "contactsOffered": sum.offered,
        "contactsHandled": sum.handled,
        "contactsWithinSLA": sum.in_time,
        "contactsOutOfSLA": sum.offered - sum.in_time,
        "serviceLevel": percentage(sum.in_time, sum.offered),
        "averageTalkTime": mean(sum.talked, sum.handled),
        "averageInqueueTime": mean(sum.queued, sum.offered),
        "totalContactTime": duration(sum.talked + sum.queued),
    });
    if let (Value::Object(row), Value::Object(totals)) = (&mut row, totals) {
        row.retain(|name, _| !matches!(name.as_str(), "isActive" | "lastUpdateTime"));
        row.extend(totals);
    }
    row
}

fn service_level(id: i64, sum: &ContactTotals) -> Value {
    json!({
        "BusinessUnitId": super::BUSINESS_UNIT,
        "SkillId": id,
        "SkillName": entities::skill(id)["skillName"],
        "ContactsWithinSLA": sum.in_time,
        "ContactsOutOfSLA": sum.offered - sum.in_time,
        "TotalContacts": sum.offered,
        "ServiceLevel": percentage(sum.in_time, sum.offered),
    })
}

fn agent(id: i64, sum: &ContactTotals) -> Value {
    let mut row = team(entities::team_of(id), sum);
    row["agentId"] = json!(id);
    row
}

fn team(id: i64, sum: &ContactTotals) -> Value {
    let inbound = sum.handled - sum.outbound;
    let inbound_talked = sum.talked - sum.outbound_talked;
    json!({
        "teamId": id,
        "agentOffered": sum.offered,
        "inboundHandled": inbound,
        "inboundTalkTime": duration(inbound_talked),
        "inboundAvgTalkTime": mean(inbound_talked, inbound),
        "outboundHandled": sum.outbound,
        "outboundTalkTime": duration(sum.outbound_talked),
        "outboundAvgTalkTime": mean(sum.outbound_talked, sum.outbound),
        "totalHandled": sum.handled,
        "totalTalkTime": duration(sum.talked),
        "totalAvgTalkTime": mean(sum.talked, sum.handled),
        "refused": 0,
        "percentRefused": 0.0,
    })
}

fn percentage(part: i64, whole: i64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn mean(total: i64, of: i64) -> String {
    duration(total / of.max(1))
}
