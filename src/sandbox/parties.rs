//! Who takes part in a conversation: the customer, the menu, the queues, the agents.

use super::{
    data::Medium,
    dice::{Pool, Uuid},
    render::{Leg, NAMES, Scribe, Story, r_factor},
};

const MINUTE: i64 = 60_000;

/// What was counted, how much, when.
type Metric = (&'static str, i64, i64);

impl Scribe {
    pub(super) fn participants(&mut self, story: &Story) {
        let legs = story.legs(self);
        self.object(|s| s.customer(story, &legs));
        if let Some(until) = story.menu_until() {
            self.object(|s| s.menu(story, until));
        }
        for leg in &legs {
            if !story.facts.outbound {
                self.object(|s| s.queue(story, leg));
            }
            if !story.facts.abandoned {
                self.object(|s| s.agent(story, leg));
            }
        }
    }

    fn customer(&mut self, story: &Story, legs: &[Leg]) {
        if self.dice.permille(400) {
            let contact = self.dice.below(20_000);
            self.json.uuid("externalContactId", self.id(Pool::Contact, contact));
        }
        self.json.uuid("participantId", self.dice.uuid());
        self.json.text("participantName", story.customer);
        self.json.text("purpose", if story.facts.outbound { "external" } else { "customer" });
        self.list("sessions", |s| s.object(|s| s.customer_session(story, legs)));
    }

    fn customer_session(&mut self, story: &Story, legs: &[Leg]) {
        let facts = story.facts;
        self.session(story, facts.medium, story.peer);
        match facts.medium {
            Medium::Voice => self.media_stats(story, story.told_until),
            Medium::Callback => self.callback(story),
            Medium::Chat => {
                let visitor = self.dice.uuid();
                self.json.uuid("journeyCustomerId", visitor);
                self.json.text("journeyCustomerIdType", "cookie");
                self.json.uuid("journeyCustomerSessionId", self.dice.uuid());
                self.json.text("journeyCustomerSessionIdType", "web");
            }
            Medium::Email | Medium::Message => {}
        }
        let talked = story.told_until - facts.start;
        let mut metrics = vec![("nConnected", 1, facts.start), ("tConnected", talked, story.told_until)];
        if facts.medium == Medium::Message {
            metrics.push(("oMessageCount", self.dice.between(1, 40), story.told_until));
            metrics.push(("oMediaCount", self.dice.between(0, 4), story.told_until));
        }
        self.metrics(&metrics);
        self.list("segments", |s| {
            if let Some(until) = story.menu_until() {
                s.segment("ivr", facts.start, Some(until), |s| s.json.numbers("sipResponseCodes", &[200]));
            }
            for leg in legs {
                let talking = (!leg.open).then_some(leg.left);
                s.segment("interact", leg.queued, talking, |s| {
                    if let (true, Some(_)) = (!leg.transferred, talking) {
                        let how = s.dice.pick(&["client", "peer", "endpoint", "peer"]);
                        s.json.text("disconnectType", how);
                    }
                    if facts.medium == Medium::Email {
                        s.subject();
                    }
                });
            }
        });
    }

    fn callback(&mut self, story: &Story) {
        self.json.texts("callbackNumbers", &[&story.theirs, "+49 30 90 18 20"]);
        self.json.time("callbackScheduledTime", story.facts.start + 5 * MINUTE);
        self.json.text("callbackUserName", story.customer);
        self.json.flag("skipEnabled", true);
        self.json.number("timeoutSeconds", 60);
    }

    fn menu(&mut self, story: &Story, until: i64) {
        let start = story.facts.start;
        self.json.uuid("participantId", self.dice.uuid());
        self.json.text("participantName", "Main menu");
        self.json.text("purpose", "ivr");
        self.list("sessions", |s| {
            s.object(|s| {
                let session = s.dice.uuid();
                s.session(story, Medium::Voice, session);
                s.json.uuid("peerId", story.peer);
                s.flow(start, until);
                let spent = until - start;
                s.metrics(&[
                    ("nFlow", 1, start),
                    ("tIvr", spent, until),
                    ("tFlow", spent, until),
                    ("nFlowOutcome", 1, until),
                    ("tFlowOutcome", spent / 2, until),
                    ("tFlowOut", spent, until),
                ]);
                s.list("segments", |s| {
                    s.segment("system", start, Some(start + spent / 20), |s| s.json.text("disconnectType", "system"));
                    s.segment("ivr", start + spent / 20, Some(until), |s| {
                        s.json.text("disconnectType", "transfer");
                        s.json.numbers("sipResponseCodes", &[200]);
                    });
                });
            });
        });
    }

    fn flow(&mut self, start: i64, until: i64) {
        let number = self.dice.below(8);
        self.json.open_field("flow", b'{');
        self.json.text("endingLanguage", "en-us");
        self.json.text("entryReason", "tel:+498000111");
        self.json.text("entryType", "dnis");
        self.json.text("exitReason", "TRANSFER");
        self.json.uuid("flowId", self.id(Pool::Flow, number));
        self.json.text("flowName", self.dice.pick(&["Hauptmenü", "Main menu", "Reklamation", "VIP", "請求書"]));
        self.json.text("flowType", "INBOUNDCALL");
        let version = format!("{}.0", self.dice.between(1, 90));
        self.json.text("flowVersion", &version);
        self.json.flag("issuedCallback", false);
        self.json.text("startingLanguage", "en-us");
        self.json.text("transferTargetName", "Service / Rechnung");
        self.json.text("transferType", "ACD");
        self.list("outcomes", |s| {
            for n in 0..s.dice.below(3) {
                s.object(|s| {
                    s.json.text("flowOutcome", s.dice.pick(&["SUCCESS", "FAILURE"]));
                    s.json.time("flowOutcomeEndTimestamp", until);
                    s.json.uuid("flowOutcomeId", s.id(Pool::Outcome, n));
                    s.json.time("flowOutcomeStartTimestamp", start);
                    s.json.text("flowOutcomeValue", "NONE");
                });
            }
        });
        self.json.close(b'}');
    }

    fn queue(&mut self, story: &Story, leg: &Leg) {
        self.json.uuid("participantId", self.dice.uuid());
        let name = format!("Queue {:02}", leg.queue);
        self.json.text("participantName", &name);
        self.json.text("purpose", "acd");
        self.list("sessions", |s| {
            s.object(|s| {
                let session = s.dice.uuid();
                s.session(story, story.facts.medium, session);
                s.json.uuid("peerId", story.peer);
                s.routing(story, leg);
                let waited = leg.alerted - leg.queued;
                let outcome = if story.facts.abandoned { "tAbandon" } else { "tAnswered" };
                s.metrics(&[
                    ("nOffered", 1, leg.queued),
                    (outcome, waited, leg.alerted),
                    ("tAcd", waited, leg.alerted),
                    ("nOverSla", i64::from(waited > 20_000), leg.alerted),
                ]);
                s.list("segments", |s| s.waiting(story, leg));
            });
        });
    }

    fn routing(&mut self, story: &Story, leg: &Leg) {
        let skills = [0, 1, 2].map(|_| self.dice.below(40)).map(|n| self.id(Pool::Skill, n));
        self.json.uuids("activeSkillIds", &skills[..1 + usize::from(self.dice.permille(500))]);
        let eligible = [0, 0, 0].map(|_| self.dice.between(0, 30));
        self.json.numbers("eligibleAgentCounts", &eligible);
        self.json.texts("requestedRoutings", &["Preferred", "Standard"]);
        self.json.number("routingRing", self.dice.between(1, 4));
        self.json.numbers("waitingInteractionCounts", &eligible.map(|n| n / 2));
        if !story.facts.abandoned {
            self.json.uuid("selectedAgentId", self.id(Pool::Agent, leg.agent));
            self.json.number("selectedAgentRank", 1);
            self.json.text("usedRouting", self.dice.pick(&["Standard", "Preferred", "Standard"]));
        }
        if self.dice.permille(200) {
            self.list("agentGroups", |s| {
                s.object(|s| {
                    s.json.uuid("agentGroupId", s.id(Pool::Group, 1));
                    s.json.text("agentGroupType", "SkillGroup");
                });
            });
        }
        if self.dice.permille(250) || story.facts.abandoned {
            self.list("proposedAgents", |s| {
                for rank in 1..3 {
                    let agent = s.dice.below(60);
                    s.object(|s| {
                        s.json.number("agentRank", rank);
                        s.json.uuid("proposedAgentId", s.id(Pool::Agent, agent));
                    });
                }
            });
        }
    }

    fn waiting(&mut self, story: &Story, leg: &Leg) {
        let how = if story.facts.abandoned { "peer" } else { "transfer" };
        // A delay that ends where the queue begins: conversations have instants, too.
        self.segment("delay", leg.queued, Some(leg.queued), |s| s.json.text("disconnectType", "system"));
        self.segment("interact", leg.queued, Some(leg.alerted), |s| {
            s.json.text("disconnectType", how);
            s.json.uuid("queueId", s.id(Pool::Queue, leg.queue.into()));
            let (language, skill) = (s.dice.below(5), s.dice.below(40));
            s.json.uuid("requestedLanguageId", s.id(Pool::Language, language));
            s.json.uuids("requestedRoutingSkillIds", &[s.id(Pool::Skill, skill)]);
            if s.dice.permille(150) {
                s.list("scoredAgents", |s| {
                    s.object(|s| {
                        s.json.number("agentScore", s.dice.between(1, 100));
                        s.json.uuid("scoredAgentId", s.id(Pool::Agent, leg.agent));
                    });
                });
            }
        });
    }

    fn agent(&mut self, story: &Story, leg: &Leg) {
        self.json.uuid("participantId", self.dice.uuid());
        self.json.text("participantName", NAMES[usize::from(leg.agent as u8) % NAMES.len()]);
        self.json.text("purpose", "agent");
        self.json.uuid("teamId", self.id(Pool::Team, leg.agent % 6));
        self.json.uuid("userId", self.id(Pool::Agent, leg.agent));
        self.list("sessions", |s| {
            s.object(|s| s.agent_session(story, leg, story.facts.medium));
            if story.facts.medium == Medium::Callback {
                s.object(|s| s.returned_call(story, leg));
            }
        });
    }

    fn agent_session(&mut self, story: &Story, leg: &Leg, medium: Medium) {
        let session = self.dice.uuid();
        self.session(story, medium, session);
        self.json.uuid("peerId", story.peer);
        if self.dice.permille(300) {
            self.json.uuid("scriptId", self.id(Pool::Form, 200));
        }
        if medium == Medium::Voice {
            self.media_stats(story, leg.wrapped);
        }
        let pauses = self.dice.below(if medium == Medium::Chat { 1 } else { 3 }).cast_signed();
        let metrics = self.agent_metrics(leg, medium, pauses);
        self.metrics(&metrics);
        self.list("segments", |s| s.agent_segments(story, leg, medium, pauses));
    }

    fn agent_metrics(&mut self, leg: &Leg, medium: Medium, pauses: i64) -> Vec<Metric> {
        let talked = leg.wrapped - leg.answered;
        let (paused, pauses_complete) =
            if medium == Medium::Voice { ("tHeld", "tHeldComplete") } else { ("tPark", "tParkComplete") };
        let mut metrics = vec![("tAlert", leg.answered - leg.alerted, leg.answered), ("nConnected", 1, leg.answered)];
        // The same name again for every stretch.
        let stretch = talked / (2 * pauses + 1);
        for pause in 0..=pauses {
            let until = leg.answered + (2 * pause + 1) * stretch;
            metrics.push(("tTalk", stretch, until));
            if pause < pauses {
                metrics.push((paused, stretch, until + stretch));
            }
        }
        if matches!(medium, Medium::Chat | Medium::Message) {
            for n in 1..=self.dice.between(1, 4) {
                metrics.push(("tAgentResponseTime", self.dice.between(2_000, 90_000), leg.answered + n * 2_000));
                metrics.push(("tUserResponseTime", self.dice.between(2_000, 90_000), leg.answered + n * 3_000));
            }
        }
        if !leg.open {
            metrics.push(("tTalkComplete", talked - pauses * stretch, leg.wrapped));
            if pauses > 0 {
                metrics.push((pauses_complete, pauses * stretch, leg.wrapped));
            }
            metrics.push(("tAcw", leg.left - leg.wrapped, leg.left));
            metrics.push(("tHandle", leg.left - leg.answered, leg.left));
        }
        if leg.transferred {
            metrics.push(("nTransferred", 1, leg.wrapped));
            metrics.push(("nBlindTransferred", 1, leg.wrapped));
        }
        metrics
    }

    fn agent_segments(&mut self, story: &Story, leg: &Leg, medium: Medium, pauses: i64) {
        let queue = self.id(Pool::Queue, leg.queue.into());
        let ringing = if story.facts.outbound { "dialing" } else { "alert" };
        self.segment(ringing, leg.alerted, Some(leg.answered), |s| s.json.uuid("queueId", queue));
        let pause = if medium == Medium::Voice { "hold" } else { "parked" };
        let stretch = (leg.wrapped - leg.answered) / (2 * pauses + 1);
        for n in 0..=2 * pauses {
            let last = n == 2 * pauses;
            let to = if last { leg.wrapped } else { leg.answered + (n + 1) * stretch };
            let kind = if n % 2 == 0 { "interact" } else { pause };
            self.segment(kind, leg.answered + n * stretch, (!last || !leg.open).then_some(to), |s| {
                s.json.uuid("queueId", queue);
                if last && medium == Medium::Email {
                    s.subject();
                }
                if last && !leg.open {
                    s.json.text("disconnectType", if leg.transferred { "transfer" } else { "client" });
                }
            });
        }
        if !leg.open {
            self.segment("wrapup", leg.wrapped, Some(leg.left), |s| s.wrap_up(queue));
        }
    }

    fn wrap_up(&mut self, queue: Uuid) {
        self.json.uuid("queueId", queue);
        if self.dice.permille(60) {
            self.json.text("wrapUpCode", "ININ-WRAP-UP-TIMEOUT");
        } else {
            let code = self.dice.below(25);
            self.json.uuid("wrapUpCode", self.id(Pool::WrapUp, code));
        }
        if self.dice.permille(300) {
            self.json.text(
                "wrapUpNote",
                self.dice.pick(&["Kunde zufrieden,\\nruft zurück", "wants \\\"gold\\\" tier", "再連絡"]),
            );
        }
        if self.dice.permille(80) {
            self.json.texts("wrapUpTags", &["billing", "follow-up"]);
        }
    }

    /// The call that makes a callback.
    fn returned_call(&mut self, story: &Story, leg: &Leg) {
        let session = self.dice.uuid();
        self.session(story, Medium::Voice, session);
        self.json.uuid("peerId", story.peer);
        self.media_stats(story, leg.wrapped);
        let (dialled, connected) = (leg.answered, leg.answered + (leg.wrapped - leg.answered) / 10);
        self.metrics(&[
            ("nOutbound", 1, dialled),
            ("tDialing", connected - dialled, connected),
            ("nConnected", 1, connected),
        ]);
        self.list("segments", |s| {
            s.segment("dialing", dialled, Some(connected), |s| s.json.numbers("sipResponseCodes", &[183, 200]));
            s.segment("interact", connected, (!leg.open).then_some(leg.wrapped), |_| {});
        });
    }

    /// What every session says of itself.
    fn session(&mut self, story: &Story, medium: Medium, session: Uuid) {
        let provider = match medium {
            Medium::Voice => "Edge",
            Medium::Callback => "PureCloud Callback",
            Medium::Chat => "PureCloud Webchat v2",
            Medium::Email => "PureCloud Email",
            Medium::Message => "PureCloud Messaging",
        };
        let (from, to) = if story.facts.outbound { (&story.ours, &story.theirs) } else { (&story.theirs, &story.ours) };
        match medium {
            Medium::Voice => {
                let edge = self.dice.below(6);
                self.json.text("ani", from);
                self.json.text("dnis", to);
                self.json.uuid("edgeId", self.id(Pool::Edge, edge));
                self.json.uuid("protocolCallId", self.dice.uuid());
                self.json.flag("recording", self.dice.permille(700));
                self.json.text("sessionDnis", to);
            }
            Medium::Email => {
                self.json.text("addressFrom", from);
                self.json.text("addressTo", to);
                self.json.text("addressOther", &story.theirs);
                self.json.text("addressSelf", &story.ours);
                self.json.texts("cc", &["buchhaltung@example.org", "archiv@example.org"]);
                self.json.texts("bcc", &[]);
                self.json.texts("destinationAddresses", &[to]);
                self.json.text("extendedDeliveryStatus", "accepted for delivery by the receiving server");
            }
            Medium::Message => {
                self.json.text("addressFrom", from);
                self.json.text("addressTo", to);
                self.json.text("messageType", "whatsapp");
                self.json.text("engagementSource", "WhatsApp");
                self.json.text("deliveryStatus", "Read");
                self.json.time("deliveryStatusChangeDate", story.facts.start + 1_500);
                self.json.flag("authenticated", false);
            }
            Medium::Chat => self.json.uuid("roomId", story.peer),
            Medium::Callback => {}
        }
        self.json.text("direction", story.direction());
        self.json.text("mediaType", medium.name());
        self.json.text("provider", provider);
        self.json.text("remoteNameDisplayable", story.customer);
        self.json.uuid("sessionId", session);
    }

    fn media_stats(&mut self, story: &Story, at: i64) {
        self.list("mediaEndpointStats", |s| {
            s.object(|s| {
                // The same codec once for each direction.
                let codecs: &[&str] = s.dice.pick(&[&["audio/PCMU", "audio/PCMU"][..], &["audio/opus"][..]]);
                s.json.texts("codecs", codecs);
                s.json.number("discardedPackets", s.dice.between(0, 40));
                if s.dice.permille(300) {
                    s.json.number("duplicatePackets", s.dice.between(1, 9));
                }
                s.json.time("eventTime", at);
                s.json.number("maxLatencyMs", s.dice.between(2, 300));
                s.json.double("minMos", story.mos);
                s.json.double("minRFactor", r_factor(story.mos));
                s.json.number("overrunPackets", 0);
                s.json.number("receivedPackets", (at - story.facts.start) / 20);
            });
        });
    }

    fn metrics(&mut self, metrics: &[Metric]) {
        self.list("metrics", |s| {
            for &(name, value, at) in metrics {
                s.object(|s| {
                    s.json.time("emitDate", at);
                    s.json.text("name", name);
                    s.json.number("value", value);
                });
            }
        });
    }

    fn segment(&mut self, kind: &str, from: i64, to: Option<i64>, more: impl FnOnce(&mut Self)) {
        self.object(|s| {
            s.json.flag("conference", false);
            if let Some(to) = to {
                s.json.time("segmentEnd", to);
            }
            s.json.time("segmentStart", from);
            s.json.text("segmentType", kind);
            more(s);
        });
    }

    fn subject(&mut self) {
        let subject = self.dice.pick(&[
            "Re: Ihre Rechnung Nr. 4711",
            "AW: \\\"Kündigung\\\" meines Vertrags",
            "ご請求について",
            "FW: where is my parcel?",
        ]);
        self.json.text("subject", subject);
    }
}
