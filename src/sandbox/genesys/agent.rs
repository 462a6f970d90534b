//! An agent's part in a conversation: ringing, talking with pauses, wrapping up.

use crate::sandbox::{
    genesys::{
        records::Medium,
        renderer::{NAMES, Renderer, Timeline, TimelineSession},
        session::Metric,
    },
    rng::{Pool, Uuid},
};

impl Renderer {
    pub(super) fn agent(&mut self, story: &Timeline, leg: &TimelineSession) {
        self.json.uuid("participantId", self.rng.uuid());
        self.json.text("participantName", NAMES[leg.agent as usize % NAMES.len()]);
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

    fn agent_session(&mut self, story: &Timeline, leg: &TimelineSession, medium: Medium) {
        let session = self.rng.uuid();
        self.session(story, medium, session);
        self.json.uuid("peerId", story.peer);
        if self.rng.permille(300) {
            self.json.uuid("scriptId", self.id(Pool::Form, 200));
        }
        if medium == Medium::Voice && leg.first {
            self.media_stats(story, leg.wrapped);
        }
        let pauses = match story.facts.legs {
            1 if medium != Medium::Chat => self.rng.pick(&[0, 0, 0, 1, 1, 2]),
            _ => 0,
        };
        let metrics = self.agent_metrics(leg, medium, pauses);
        self.metrics(&metrics);
        self.list("segments", |s| s.agent_segments(story, leg, medium, pauses));
    }

    fn agent_metrics(&mut self, leg: &TimelineSession, medium: Medium, pauses: i64) -> Vec<Metric> {
        let talked = leg.wrapped - leg.answered;
        let (paused, pauses_complete) = if medium == Medium::Voice {
            ("tHeld", "tHeldComplete")
        } else {
            ("tPark", "tParkComplete")
        };
        let mut metrics = vec![
            ("tAlert", leg.answered - leg.alerted, leg.answered),
            ("nConnected", 1, leg.answered),
        ];
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
            for n in 1..=self.rng.between(1, 4) {
                metrics.push((
                    "tAgentResponseTime",
                    self.rng.between(2_000, 90_000),
                    leg.answered + n * 2_000,
                ));
                metrics.push((
                    "tUserResponseTime",
                    self.rng.between(2_000, 90_000),
                    leg.answered + n * 3_000,
                ));
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

    fn agent_segments(
        &mut self,
        story: &Timeline,
        leg: &TimelineSession,
        medium: Medium,
        pauses: i64,
    ) {
        let queue = self.id(Pool::Queue, leg.queue.into());
        let ringing = if story.facts.outbound { "dialing" } else { "alert" };
        self.segment(ringing, leg.alerted, Some(leg.answered), |s| s.json.uuid("queueId", queue));
        let pause = if medium == Medium::Voice { "hold" } else { "parked" };
        let stretch = (leg.wrapped - leg.answered) / (2 * pauses + 1);
        for n in 0..=2 * pauses {
            let last = n == 2 * pauses;
            let to = if last { leg.wrapped } else { leg.answered + (n + 1) * stretch };
            let kind = if n % 2 == 0 { "interact" } else { pause };
            self.segment(
                kind,
                leg.answered + n * stretch,
                (!last || !leg.open).then_some(to),
                |s| {
                    s.json.uuid("queueId", queue);
                    if last && medium == Medium::Email {
                        s.subject();
                    }
                    if last && !leg.open {
                        s.json.text(
                            "disconnectType",
                            if leg.transferred { "transfer" } else { "client" },
                        );
                    }
                },
            );
        }
        if !leg.open {
            self.segment("wrapup", leg.wrapped, Some(leg.left), |s| s.wrap_up(queue));
        }
    }

    fn wrap_up(&mut self, queue: Uuid) {
        self.json.uuid("queueId", queue);
        if self.rng.permille(60) {
            self.json.text("wrapUpCode", "ININ-WRAP-UP-TIMEOUT");
        } else {
            let code = self.rng.below(25);
            self.json.uuid("wrapUpCode", self.id(Pool::WrapUp, code));
        }
        if self.rng.permille(300) {
            self.json.text(
                "wrapUpNote",
                self.rng.pick(&[
                    "Kunde zufrieden,\\nruft zurück",
                    "wants \\\"gold\\\" tier",
                    "再連絡",
                ]),
            );
        }
        if self.rng.permille(80) {
            self.json.texts("wrapUpTags", &["billing", "follow-up"]);
        }
    }

    /// The call that makes a callback.
    fn returned_call(&mut self, story: &Timeline, leg: &TimelineSession) {
        let session = self.rng.uuid();
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
            s.segment("dialing", dialled, Some(connected), |s| {
                s.json.numbers("sipResponseCodes", &[183, 200])
            });
            s.segment("interact", connected, (!leg.open).then_some(leg.wrapped), |_| {});
        });
    }
}
