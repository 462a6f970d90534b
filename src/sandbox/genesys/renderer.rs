//! A conversation's record, written straight into the page.
//!
//! Key names and types are those of `AnalyticsConversationWithoutAttributes` in the platform's
//! schema, with `attributes` those of `AnalyticsConversation`. What a conversation does not have has no key.

use crate::sandbox::{
    genesys::records::{Facts, Medium},
    json::Json,
    rng::{Pool, Rng, Uuid, id},
};

/// Names as people have them: accents, other scripts, quotes. JSON text, escapes included.
pub(crate) const NAMES: [&str; 16] = [
    "Zoë Müller",
    "山田太郎",
    "Олена Шевченко",
    "Siobhán O'Brien",
    "José \\\"Pepe\\\" Núñez",
    "नेहा शर्मा",
    "Jürgen Groß",
    "علي حسن",
    "Ana Conceição",
    "Łukasz Żółć",
    "김민준",
    "Mia 🙂 Larsen",
    "Smith, John",
    "Ngô Thị Hằng",
    "Emily Clarke",
    "Oluwaseun Adébáyò",
];
pub(crate) const DIVISIONS: u64 = 4;
pub(crate) const AGENTS: u64 = 60;
const MINUTE: i64 = 60_000;
/// A record's size for reserving room: most are smaller.
const ROOM: usize = 8 * 1024;

/// Writes records, one after the other.
pub(crate) struct Renderer {
    pub(crate) json: Json,
    pub(crate) seed: u64,
    /// The chance of the record being written.
    pub(crate) rng: Rng,
    /// Whether conversations are told as jobs tell them: with the attributes of participants.
    pub(crate) tells_attributes: bool,
}

/// What the parts of one record have to agree on.
pub(crate) struct Timeline {
    pub(crate) facts: Facts,
    /// When it ended or, while it is live, until when it is told.
    pub(crate) told_until: i64,
    /// The lowest mean opinion score of its calls.
    pub(crate) mos: f64,
    pub(crate) customer: &'static str,
    /// The customer's address and ours: a telephone number or an e-mail address.
    pub(crate) theirs: String,
    pub(crate) ours: String,
    /// The session of the customer, whose peers the others are.
    pub(crate) peer: Uuid,
}

/// One agent's turn: waiting in a queue, ringing, talking, wrapping up.
#[derive(Clone, Copy)]
pub(crate) struct TimelineSession {
    pub(crate) queue: u8,
    pub(crate) agent: u64,
    pub(crate) queued: i64,
    pub(crate) alerted: i64,
    pub(crate) answered: i64,
    pub(crate) wrapped: i64,
    pub(crate) left: i64,
    pub(crate) first: bool,
    /// The conversation goes on with another agent.
    pub(crate) transferred: bool,
    /// Still talking: neither the end of the talk nor a wrap-up is known.
    pub(crate) open: bool,
}

impl Renderer {
    /// A scribe with room for `records`.
    pub(crate) fn new(seed: u64, records: usize) -> Self {
        Self {
            json: Json::with_capacity(records * ROOM),
            seed,
            rng: Rng::new([0; 4]),
            tells_attributes: false,
        }
    }

    pub(crate) fn id(&self, pool: Pool, n: u64) -> Uuid {
        id(self.seed, pool, n)
    }

    /// Writes an object that is a list's element.
    pub(crate) fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.json.open(b'{');
        fields(self);
        self.json.close(b'}');
    }

    /// Writes a list that is an object's field.
    pub(crate) fn list(&mut self, key: &str, elements: impl FnOnce(&mut Self)) {
        self.json.open_field(key, b'[');
        elements(self);
        self.json.close(b']');
    }

    /// Writes the whole record of a conversation.
    pub(crate) fn conversation(&mut self, facts: &Facts) {
        self.rng = facts.rng(self.seed);
        let story = self.story(*facts);
        let legs = story.legs(self.seed);
        self.object(|s| {
            s.head(&story);
            if let Some(last) = legs.last().filter(|leg| !leg.open && !facts.abandoned) {
                s.afterthoughts(&story, last);
            }
            s.list("participants", |s| s.participants(&story, &legs));
        });
    }

    fn story(&mut self, facts: Facts) -> Timeline {
        let rng = &mut self.rng;
        let customer = rng.pick(&NAMES);
        let (theirs, ours) = if facts.medium == Medium::Email {
            (
                format!("kunde{}@example.com", rng.below(100_000)),
                format!("service{}@example.org", rng.below(5)),
            )
        } else {
            (
                format!("tel:+4930{:07}", rng.below(10_000_000)),
                format!("tel:+498000{:03}", rng.below(20)),
            )
        };
        Timeline {
            told_until: facts.end.unwrap_or(facts.start + rng.between(5 * MINUTE, 50 * MINUTE)),
            // A float in the platform's own books, hence the many digits.
            mos: f64::from(
                f32::from(u16::try_from(rng.between(31_000, 49_200)).unwrap_or(0)) / 10_000.0,
            ),
            customer,
            theirs,
            ours,
            peer: rng.uuid(),
            facts,
        }
    }

    fn head(&mut self, story: &Timeline) {
        let Facts { start, end, medium, outbound, .. } = story.facts;
        if let Some(end) = end {
            self.json.time("conversationEnd", end);
        }
        self.json.uuid("conversationId", story.facts.id(self.seed));
        self.json.text("conversationInitiator", if outbound { "agent" } else { "customer" });
        self.json.time("conversationStart", start);
        if end.is_some() {
            self.json.flag("customerParticipation", !outbound || self.rng.permille(800));
        }
        let home = self.rng.below(DIVISIONS);
        let divisions =
            [self.id(Pool::Division, home), self.id(Pool::Division, (home + 1) % DIVISIONS)];
        self.json.uuids("divisionIds", &divisions[..1 + usize::from(self.rng.permille(200))]);
        if self.rng.permille(100) {
            let tag = format!("CRM-{:08}", self.rng.below(100_000_000));
            self.json.text("externalTag", &tag);
        }
        if story.on_the_phone() {
            self.json.double("mediaStatsMinConversationMos", story.mos);
            self.json.double("mediaStatsMinConversationRFactor", r_factor(story.mos));
        }
        if medium == Medium::Message {
            self.json.flag("originatingSocialMediaPublic", false);
        }
        self.json.text("originatingDirection", story.direction());
    }

    /// What is found out once it is over: evaluations, surveys and resolutions.
    fn afterthoughts(&mut self, story: &Timeline, leg: &TimelineSession) {
        let (queue, agent) =
            (self.id(Pool::Queue, leg.queue.into()), self.id(Pool::Agent, leg.agent));
        let later = story.told_until + self.rng.between(10 * MINUTE, 4 * 24 * 60 * MINUTE);
        if self.rng.permille(40) {
            self.list("evaluations", |s| s.object(|s| s.evaluation(queue, agent, later)));
        }
        if self.rng.permille(50) {
            self.list("surveys", |s| s.object(|s| s.survey(queue, agent, later)));
        }
        if self.rng.permille(30) {
            self.list("resolutions", |s| {
                s.object(|s| {
                    s.json.time("eventTime", later);
                    s.json.uuid("queueId", queue);
                    s.json.uuid("userId", agent);
                    s.json.number("nNextContactAvoided", 1);
                });
            });
        }
    }

    fn evaluation(&mut self, queue: Uuid, agent: Uuid, at: i64) {
        let (evaluator, form) = (self.rng.below(AGENTS), self.rng.below(5));
        self.json.uuid("evaluationId", self.rng.uuid());
        self.json.text("evaluationStatus", "Finished");
        self.json.uuid("evaluatorId", self.id(Pool::Agent, evaluator));
        self.json.time("eventTime", at);
        self.json.uuid("formId", self.id(Pool::Form, form));
        self.json.text(
            "formName",
            self.rng.pick(&["Qualität", "Compliance", "Soft skills", "Sales", "品質"]),
        );
        self.json.uuid("queueId", queue);
        for (key, flag) in [("released", true), ("rescored", false), ("deleted", false)] {
            self.json.flag(key, flag);
        }
        self.json.uuid("userId", agent);
        self.json.number("oTotalCriticalScore", self.rng.between(40, 101));
        self.json.number("oTotalScore", self.rng.between(30, 101));
    }

    fn survey(&mut self, queue: Uuid, agent: Uuid, at: i64) {
        let form = self.rng.below(3);
        self.json.time("eventTime", at);
        self.json.uuid("queueId", queue);
        self.json.uuid("surveyFormId", self.id(Pool::Form, 100 + form));
        self.json.text("surveyFormName", "How did we do?");
        self.json.uuid("surveyId", self.rng.uuid());
        if self.rng.permille(600) {
            self.json.time("surveyCompletedDate", at);
            self.json.text("surveyStatus", "Finished");
            self.json.number("surveyPromoterScore", self.rng.between(0, 11));
            self.json.number("oSurveyTotalScore", self.rng.between(0, 101));
        } else {
            self.json.text("surveyStatus", "Sent");
        }
        self.json.text("surveyType", "Web");
        self.json.uuid("userId", agent);
    }
}

impl Timeline {
    pub(crate) fn on_the_phone(&self) -> bool {
        matches!(self.facts.medium, Medium::Voice | Medium::Callback)
    }

    pub(crate) fn direction(&self) -> &'static str {
        if self.facts.outbound { "outbound" } else { "inbound" }
    }

    /// Until when the caller listens to the menu: inbound calls meet one first.
    pub(crate) fn menu_until(&self) -> Option<i64> {
        let told = self.told_until - self.facts.start;
        (self.facts.medium == Medium::Voice && !self.facts.outbound)
            .then(|| self.facts.start + (told / 6).min(3 * MINUTE / 2))
    }

    /// The turns of its agents, one after the other, from the menu to the end.
    fn legs(&self, seed: u64) -> Vec<TimelineSession> {
        let from = self.menu_until().unwrap_or(self.facts.start);
        let count = i64::from(self.facts.legs);
        let length = (self.told_until - from) / count;
        let mut turns =
            Rng::new([seed, self.facts.start.cast_unsigned(), self.facts.number.into(), 3]);
        (0..count)
            .zip(self.facts.queues())
            .map(|(turn, &queue)| {
                let last = turn + 1 == count;
                let queued = from + turn * length;
                let left = if last { self.told_until } else { queued + length };
                // An agent's own call waits in no queue; one abandoned does nothing else.
                let alerted = match self.facts {
                    Facts { outbound: true, .. } => queued,
                    Facts { abandoned: true, .. } => left,
                    _ => queued + (length / 5).min(turns.between(2_000, 6 * MINUTE)),
                };
                let answered = alerted + ((left - alerted) / 8).min(turns.between(1_200, 15_000));
                let wrapped = left - ((left - answered) / 5).min(turns.between(3_000, 3 * MINUTE));
                let open = last && self.facts.end.is_none();
                TimelineSession {
                    queue,
                    agent: turns.below(AGENTS),
                    queued,
                    alerted,
                    answered,
                    wrapped,
                    left,
                    first: turn == 0,
                    transferred: !last,
                    open,
                }
            })
            .collect()
    }
}

/// The R-factor that goes with a mean opinion score, near enough.
pub(crate) fn r_factor(mos: f64) -> f64 {
    mos * 17.391_304_347_826_086 + 7.2
}
