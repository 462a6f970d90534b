//! Contacts, and the rows that tell of them.

use serde_json::{Map, Value, json};

use crate::{
    sandbox::{cxone::entities, rng::Rng},
    time::interval::{DAY_MS, Interval, iso},
};

/// Contact ids count from here, the first whole number that a double does not tell from the next.
const FIRST_ID: i64 = 1 << 53;
/// The last day that has contacts, 9990-01-01: their ends must still have four-digit years.
const LAST_DAY: i64 = 2_929_245;
/// States that a contact goes through.
pub(super) const STATES: [(i64, &str); 3] = [(3, "InQueue"), (4, "Active"), (5, "EndContact")];

/// What is known of a contact before its rows are written: a pure function of (seed, day, number).
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    pub(super) id: i64,
    /// In milliseconds since 1970.
    pub(super) start: i64,
    /// Seconds.
    pub(super) queued: i64,
    /// Seconds; none if the customer hung up in the queue.
    pub(super) talked: Option<i64>,
    pub(super) skill: i64,
    pub(super) agent: i64,
    pub(super) outbound: bool,
    /// A row told of it before it had changed for the last time.
    pub(super) changed: bool,
    chance: u64,
}

impl Contact {
    fn of(seed: u64, day: i64, number: u32, a_day: u32) -> Self {
        let mut rng = Rng::new([seed, day.cast_unsigned(), number.into(), 0xc0]);
        // The first of a day begins on its first millisecond: the edge that errors by one get wrong.
        let jitter = if number == 0 { 0.0 } else { rng.fraction() };
        let start =
            day * DAY_MS + ((f64::from(number) + jitter) / f64::from(a_day) * DAY_MS as f64) as i64;
        Self {
            id: FIRST_ID + (day << 32) + i64::from(number),
            start: start.min((day + 1) * DAY_MS - 1),
            queued: rng.between(1, 300),
            talked: (!rng.permille(80)).then_some(rng.between(20, 2_400)),
            skill: rng.between(1, entities::SKILLS + 1),
            agent: rng.between(1, entities::AGENTS + 1),
            outbound: rng.permille(150),
            changed: number % 50 == 7,
            chance: rng.roll(),
        }
    }

    /// Those that start inside an interval, by start.
    pub(super) fn inside(
        seed: u64,
        a_day: u32,
        interval: Interval,
    ) -> impl Iterator<Item = Self> + Send {
        let days = interval.from_ms().div_euclid(DAY_MS).max(0)
            ..=(interval.to_ms() - 1).div_euclid(DAY_MS).min(LAST_DAY);
        days.flat_map(move |day| (0..a_day).map(move |number| Self::of(seed, day, number, a_day)))
            .filter(move |contact| interval.contains(contact.start))
    }

    /// When each of its states began; none where it was never in it.
    pub(super) fn state_start(&self, state: usize) -> Option<i64> {
        let answered = self.start + self.queued * 1_000;
        match state {
            0 => Some(self.start),
            1 => self.talked.map(|_| answered),
            _ => Some(answered + self.talked.unwrap_or(0) * 1_000),
        }
    }

    /// Milliseconds since 1970.
    fn end(&self) -> i64 {
        self.start + (self.queued + self.talked.unwrap_or(0)) * 1_000
    }

    /// Its id as the API writes it: mostly a number.
    fn id_value(&self) -> Value {
        if self.id % 7 == 0 { json!(self.id.to_string()) } else { json!(self.id) }
    }

    /// A row of contacts/completed: as it is for good, or as it was before its last change.
    pub(super) fn row(&self, last: bool) -> Value {
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
        let updated = self.end() + if last { 90 * 60_000 } else { 20 * 60_000 };
        let talked = self.talked.unwrap_or(0);
        put("contactId", self.id_value());
        put("masterContactId", json!(self.id));
        put("contactStartDate", json!(iso(self.start)));
        put("lastUpdateTime", json!(iso(updated)));
        put("dateContactWarehoused", json!(iso(self.end() + 15 * 60_000)));
        put("abandoned", json!(self.talked.is_none()));
        put("abandonSeconds", json!(if self.talked.is_none() { self.queued as f64 } else { 0.0 }));
        put("acwSeconds", json!(if last { (self.chance % 60) as f64 } else { 0.0 }));
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
        put("fromAddress", json!(format!("+1555{:07}", self.chance % 10_000_000)));
        put("toAddress", json!("+15550100000"));
        put("serviceLevelFlag", json!(i64::from(self.queued <= entities::THRESHOLD)));
        put(
            "primaryDispositionId",
            if last { json!(self.skill % entities::DISPOSITIONS + 1) } else { Value::Null },
        );
        if self.chance.is_multiple_of(10) {
            put("tags", json!([{"tagId": 1, "tagName": "callback"}]));
        }
        self.belongings(&mut row);
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
        self.belongings(&mut row);
        Value::Object(row)
    }

    /// Whose it was: skill, campaign, agent and team.
    fn belongings(&self, row: &mut Map<String, Value>) {
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
        // nobody has a contact before it is routed
        if state > 0 && self.talked.is_some() {
            row["agentId"] = json!(self.agent);
        }
        row
    }

    /// How many rows of contacts/custom-data it has.
    pub(super) fn fields(&self) -> usize {
        (self.chance % 3) as usize
    }

    /// A row of contacts/custom-data.
    pub(super) fn custom(&self, field: usize) -> Value {
        let name = ["orderNumber", "language"][field];
        json!({"contactId": self.id_value(), "name": name, "value": (self.chance % 1_000 + field as u64).to_string()})
    }
}

/// Seconds as ISO 8601 has them: `PT1H2M3S`.
pub(super) fn duration(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("PT{seconds}S"),
        (0, _) => format!("PT{minutes}M{seconds}S"),
        _ => format!("PT{hours}H{minutes}M{seconds}S"),
    }
}
