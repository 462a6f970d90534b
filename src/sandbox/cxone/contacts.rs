//! Contacts, and the rows of reports about them.

use serde_json::{Map, Value, json};

use crate::sandbox::{
    cxone::entities,
    drift,
    rng::Rng,
    time::{DAY_MS, TimeRange, iso},
};

/// The first contact id: the first whole number that a double cannot tell from the next.
const FIRST_ID: i64 = 1 << 53;
/// The telephone number of the business.
pub(super) const OWN_NUMBER: &str = "+15550100000";
/// The states of a contact, in order.
pub(super) const STATES: [(i64, &str); 3] = [(3, "InQueue"), (4, "Active"), (5, "EndContact")];

/// The parameters that all rows are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenant {
    pub(super) seed: u64,
    pub(super) contacts_per_day: u32,
    /// Whether completed contacts drift.
    pub(super) drift: bool,
}

/// A contact before its rows are written: a pure function of (seed, day, number).
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    pub(super) id: i64,
    /// In milliseconds since 1970.
    pub(super) start: i64,
    /// Seconds in the queue.
    pub(super) queued: i64,
    /// Seconds with an agent. `None` if the customer hung up in the queue.
    pub(super) talked: Option<i64>,
    pub(super) skill: i64,
    pub(super) agent: i64,
    pub(super) outbound: bool,
    /// Whether a page also has a copy from before its last change.
    pub(super) changed: bool,
    /// Whether its rows of contacts/completed drift.
    drifts: bool,
    random: u64,
}

impl Contact {
    fn of(tenant: Tenant, day: i64, number: u32) -> Self {
        let Tenant { seed, contacts_per_day, drift } = tenant;
        let mut rng = Rng::new([seed, day.cast_unsigned(), number.into(), 0xc0]);
        // the first of a day begins on its first millisecond, to catch off-by-one errors
        let jitter = if number == 0 { 0.0 } else { rng.fraction() };
        let start = day * DAY_MS
            + ((f64::from(number) + jitter) / f64::from(contacts_per_day) * DAY_MS as f64) as i64;
        Self {
            id: FIRST_ID + (day << 32) + i64::from(number),
            start: start.min((day + 1) * DAY_MS - 1),
            queued: rng.between(1, 300),
            talked: (!rng.permille(80)).then_some(rng.between(20, 2_400)),
            skill: rng.between(1, entities::SKILLS + 1),
            agent: rng.between(1, entities::AGENTS + 1),
            outbound: rng.permille(150),
            changed: number % 50 == 7,
            drifts: drift,
            random: rng.roll(),
        }
    }

    /// The contacts that start inside an interval, by start.
    pub(super) fn inside(tenant: Tenant, interval: TimeRange) -> impl Iterator<Item = Self> + Send {
        let numbers = 0..tenant.contacts_per_day;
        interval
            .days()
            .flat_map(move |day| numbers.clone().map(move |number| Self::of(tenant, day, number)))
            .filter(move |contact| interval.contains(contact.start))
    }

    /// When it entered a state. `None` if it never did.
    pub(super) fn state_start(&self, state: usize) -> Option<i64> {
        let answered = self.start + self.queued * 1_000;
        match state {
            0 => Some(self.start),
            1 => self.talked.map(|_| answered),
            _ => Some(answered + self.talked.unwrap_or(0) * 1_000),
        }
    }

    /// The end of the contact, in milliseconds since 1970.
    fn end(&self) -> i64 {
        self.start + (self.queued + self.talked.unwrap_or(0)) * 1_000
    }

    /// Its id as the API writes it: mostly as a number, sometimes as a string.
    fn id_value(&self) -> Value {
        if self.id % 7 == 0 { json!(self.id.to_string()) } else { json!(self.id) }
    }

    /// A row of contacts/completed: after its last change if `is_final`, otherwise before it.
    pub(super) fn row(&self, is_final: bool) -> Value {
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
        let updated = self.end() + if is_final { 90 * 60_000 } else { 20 * 60_000 };
        let talked = self.talked.unwrap_or(0);
        put("contactId", self.id_value());
        put("masterContactId", json!(self.id));
        put("contactStartDate", json!(iso(self.start)));
        put("lastUpdateTime", json!(iso(updated)));
        put("dateContactWarehoused", json!(iso(self.end() + 15 * 60_000)));
        put("abandoned", json!(self.talked.is_none()));
        put("abandonSeconds", json!(if self.talked.is_none() { self.queued as f64 } else { 0.0 }));
        put("acwSeconds", json!(if is_final { (self.random % 60) as f64 } else { 0.0 }));
        put("agentSeconds", json!(talked as f64));
        put("inQueueSeconds", json!(self.queued as f64 + 0.25));
        put("conferenceSeconds", json!(0.0));
        put("totalDurationSeconds", json!((self.queued + talked) as f64));
        put("routingTime", json!(self.queued * 1_000));
        put(
            "endReason",
            json!(if self.talked.is_none() { "Contact Hang Up" } else { "Agent Hang Up" }),
        );
        put("isOutbound", json!(self.outbound));
        put("fromAddress", json!(self.caller()));
        put("toAddress", json!(OWN_NUMBER));
        if self.random.is_multiple_of(4) {
            put("dispositionNotes", json!(format!("call {} back", self.caller())));
        }
        put("serviceLevelFlag", json!(i64::from(self.queued <= entities::SERVICE_LEVEL_SECONDS)));
        put(
            "primaryDispositionId",
            if is_final { json!(self.skill % entities::DISPOSITIONS + 1) } else { Value::Null },
        );
        if self.random.is_multiple_of(10) {
            put("tags", json!([{"tagId": 1, "tagName": "callback"}]));
        }
        self.assignment(&mut row);
        if self.drifts {
            drift::change_contact(&mut row, &mut Rng::new([self.random, 0xd21f, 0, 0]));
        }
        Value::Object(row)
    }

    /// A row of agents/interaction-history.
    pub(super) fn interaction(&self) -> Value {
        let mut row = Map::new();
        row.insert("contactId".to_owned(), self.id_value());
        row.insert("masterContactId".to_owned(), json!(self.id));
        row.insert("contactStartDate".to_owned(), json!(iso(self.start)));
        row.insert("lastUpdateTime".to_owned(), json!(iso(self.end() + 90 * 60_000)));
        row.insert("targetAgentId".to_owned(), json!(self.agent));
        row.insert("isOutbound".to_owned(), json!(self.outbound));
        row.insert("fromAddr".to_owned(), json!(self.caller()));
        row.insert("toAddr".to_owned(), json!(OWN_NUMBER));
        row.insert("fileName".to_owned(), json!(format!("{}_{}.wav", self.id, self.caller())));
        self.assignment(&mut row);
        Value::Object(row)
    }

    /// The telephone number of the customer.
    fn caller(&self) -> String {
        format!("+1555{:07}", self.random % 10_000_000)
    }

    /// Adds its skill, campaign, agent and team.
    fn assignment(&self, row: &mut Map<String, Value>) {
        let skill = entities::skill(self.skill);
        for name in
            ["skillId", "skillName", "campaignId", "campaignName", "mediaTypeId", "mediaTypeName"]
        {
            row.insert(name.to_owned(), skill[name].clone());
        }
        if self.talked.is_some() {
            let agent = entities::agent(self.agent);
            for name in ["agentId", "firstName", "lastName", "teamId", "teamName"] {
                row.insert(name.to_owned(), agent[name].clone());
            }
        }
    }

    /// A row of contacts/state-history.
    pub(super) fn state(&self, state: usize) -> Value {
        let start = self.state_start(state).unwrap_or(self.start);
        let end =
            self.state_start(state + 1).filter(|_| state + 1 < STATES.len()).unwrap_or(self.end());
        let (id, name) = STATES[state];
        let mut row = json!({
            "contactId": self.id.to_string(),
            "stateIndex": state,
            "contactStateId": id,
            "contactStateName": name,
            "startDate": iso(start),
            "isWarehoused": true,
            "skillId": self.skill,
            "skillName": entities::skill(self.skill)["skillName"],
            "duration": duration((end - start) / 1_000),
        });
        // a contact has no agent before it is routed
        if state > 0 && self.talked.is_some() {
            row["agentId"] = json!(self.agent);
        }
        row
    }

    /// The number of its rows of contacts/custom-data.
    pub(super) fn fields(&self) -> usize {
        (self.random % 3) as usize
    }

    /// A row of contacts/custom-data.
    pub(super) fn custom(&self, field: usize) -> Value {
        let name = ["orderNumber", "language"][field];
        let value = (self.random % 1_000 + field as u64).to_string();
        json!({"contactId": self.id_value(), "name": name, "value": value})
    }
}

/// Seconds as an ISO 8601 duration: `PT1H2M3S`.
pub(super) fn duration(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("PT{seconds}S"),
        (0, _) => format!("PT{minutes}M{seconds}S"),
        _ => format!("PT{hours}H{minutes}M{seconds}S"),
    }
}
