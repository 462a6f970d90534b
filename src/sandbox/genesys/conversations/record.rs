//! Writes the record of a conversation.
//!
//! Key names and types are those of `AnalyticsConversationWithoutAttributes` in the platform's
//! schema, with `attributes` those of `AnalyticsConversation`. An absent value has no key.

use crate::sandbox::{
    drift,
    genesys::{
        conversations::{
            records::{Facts, Medium, Variation},
            skew,
            timeline::{AgentTurn, MINUTE, Timeline, r_factor},
        },
        renderer::{AGENTS, DIVISIONS, Renderer},
    },
    rng::{Pool, Uuid},
};

impl Renderer {
    /// Writes the whole record of a conversation.
    pub(crate) fn conversation(&mut self, facts: &Facts) {
        self.rng = facts.rng(self.seed);
        let timeline = Timeline::new(*facts, &mut self.rng);
        let turns = timeline.turns(self.seed);
        let start = self.json.len();
        self.object(|s| {
            s.header_fields(&timeline);
            if let Some(last) = turns.last().filter(|turn| !turn.open && !facts.abandoned) {
                s.quality_fields(&timeline, last);
            }
            s.list("participants", |s| s.participants(&timeline, &turns));
        });
        let (Variation { drift, skew }, seed) = (self.variation, self.seed);
        if drift || skew {
            self.json.change_since(start, |row| {
                if skew {
                    skew::change(row, &mut facts.skew_rng(seed));
                }
                if drift {
                    drift::change_conversation(row, &mut facts.drift_rng(seed));
                }
            });
        }
    }

    fn header_fields(&mut self, timeline: &Timeline) {
        let Facts { start, end, medium, outbound, .. } = timeline.facts;
        if let Some(end) = end {
            self.json.time("conversationEnd", end);
        }
        self.json.uuid("conversationId", timeline.facts.id(self.seed));
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
        if timeline.on_the_phone() {
            self.json.double("mediaStatsMinConversationMos", timeline.mos);
            self.json.double("mediaStatsMinConversationRFactor", r_factor(timeline.mos));
        }
        if medium == Medium::Message {
            self.json.flag("originatingSocialMediaPublic", false);
        }
        self.json.text("originatingDirection", timeline.direction());
    }

    /// Evaluations, surveys and resolutions, which follow the end of the conversation.
    fn quality_fields(&mut self, timeline: &Timeline, turn: &AgentTurn) {
        let (queue, agent) =
            (self.id(Pool::Queue, turn.queue.into()), self.id(Pool::Agent, turn.agent));
        let later = timeline.known_until + self.rng.between(10 * MINUTE, 4 * 24 * 60 * MINUTE);
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
