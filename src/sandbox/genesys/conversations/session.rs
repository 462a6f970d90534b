//! Writes what the sessions of all participants have in common.

use crate::sandbox::{
    genesys::{
        conversations::{
            records::Medium,
            timeline::{Timeline, r_factor},
        },
        renderer::{FLOWS, Renderer},
    },
    rng::{Pool, Uuid},
};

/// Name, value and time of a metric.
pub(super) type Metric = (&'static str, i64, i64);

impl Renderer {
    /// The fields that every session has.
    pub(super) fn session(&mut self, timeline: &Timeline, medium: Medium, session: Uuid) {
        let provider = match medium {
            Medium::Voice => "Edge",
            Medium::Callback => "PureCloud Callback",
            Medium::Chat => "PureCloud Webchat v2",
            Medium::Email => "PureCloud Email",
            Medium::Message => "PureCloud Messaging",
        };
        let (from, to) = if timeline.facts.outbound {
            (&timeline.own_address, &timeline.customer_address)
        } else {
            (&timeline.customer_address, &timeline.own_address)
        };
        match medium {
            Medium::Voice => {
                let edge = self.rng.below(6);
                self.json.text("ani", from);
                self.json.text("dnis", to);
                self.json.uuid("edgeId", self.id(Pool::Edge, edge));
                self.json.uuid("protocolCallId", self.rng.uuid());
                self.json.flag("recording", self.rng.permille(700));
                self.json.text("sessionDnis", to);
            }
            Medium::Email => {
                self.json.text("addressFrom", from);
                self.json.text("addressTo", to);
                self.json.text("addressOther", &timeline.customer_address);
                self.json.text("addressSelf", &timeline.own_address);
                self.json.texts("cc", &["buchhaltung@example.org", "archiv@example.org"]);
                self.json.texts("bcc", &[]);
                self.json.texts("destinationAddresses", &[to]);
                self.json.text(
                    "extendedDeliveryStatus",
                    "accepted for delivery by the receiving server",
                );
            }
            Medium::Message => {
                self.json.text("addressFrom", from);
                self.json.text("addressTo", to);
                self.json.text("messageType", "whatsapp");
                self.json.text("engagementSource", "WhatsApp");
                self.json.text("deliveryStatus", "Read");
                self.json.time("deliveryStatusChangeDate", timeline.facts.start + 1_500);
                self.json.flag("authenticated", false);
            }
            Medium::Chat => self.json.uuid("roomId", timeline.peer),
            Medium::Callback => {}
        }
        self.json.text("direction", timeline.direction());
        self.json.text("mediaType", medium.name());
        self.json.text("provider", provider);
        self.json.text("remoteNameDisplayable", timeline.customer);
        self.json.uuid("sessionId", session);
    }

    pub(super) fn media_stats(&mut self, timeline: &Timeline, at: i64) {
        self.list("mediaEndpointStats", |s| {
            s.object(|s| {
                // one codec for each direction
                let codecs: &[&str] =
                    s.rng.pick(&[&["audio/PCMU", "audio/PCMU"][..], &["audio/opus"][..]]);
                s.json.texts("codecs", codecs);
                s.json.number("discardedPackets", s.rng.between(0, 40));
                if s.rng.permille(300) {
                    s.json.number("duplicatePackets", s.rng.between(1, 9));
                }
                s.json.time("eventTime", at);
                s.json.number("maxLatencyMs", s.rng.between(2, 300));
                s.json.double("minMos", timeline.mos);
                s.json.double("minRFactor", r_factor(timeline.mos));
                s.json.number("overrunPackets", 0);
                s.json.number("receivedPackets", (at - timeline.facts.start) / 20);
            });
        });
    }

    pub(super) fn metrics(&mut self, metrics: &[Metric]) {
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

    pub(super) fn segment(
        &mut self,
        kind: &str,
        from: i64,
        to: Option<i64>,
        more: impl FnOnce(&mut Self),
    ) {
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

    pub(super) fn subject(&mut self) {
        let subject = self.rng.pick(&[
            "Re: Ihre Rechnung Nr. 4711",
            "AW: \\\"Kündigung\\\" meines Vertrags",
            "ご請求について",
            "FW: where is my parcel?",
        ]);
        self.json.text("subject", subject);
    }

    pub(super) fn flow(&mut self, start: i64, until: i64) {
        let number = self.rng.below(FLOWS.len() as u64);
        self.json.open_field("flow", b'{');
        self.json.text("endingLanguage", "en-us");
        self.json.text("entryReason", "tel:+498000111");
        self.json.text("entryType", "dnis");
        self.json.text("exitReason", "TRANSFER");
        self.json.uuid("flowId", self.id(Pool::Flow, number));
        self.json.text("flowName", FLOWS[number as usize]);
        self.json.text("flowType", "INBOUNDCALL");
        let version = format!("{}.0", self.rng.between(1, 90));
        self.json.text("flowVersion", &version);
        self.json.flag("issuedCallback", false);
        self.json.text("startingLanguage", "en-us");
        self.json.text("transferTargetName", "Service / Rechnung");
        self.json.text("transferType", "ACD");
        self.list("outcomes", |s| {
            for n in 0..s.rng.below(2) {
                s.object(|s| {
                    s.json.text("flowOutcome", s.rng.pick(&["SUCCESS", "FAILURE"]));
                    s.json.time("flowOutcomeEndTimestamp", until);
                    s.json.uuid("flowOutcomeId", s.id(Pool::Outcome, n));
                    s.json.time("flowOutcomeStartTimestamp", start);
                    s.json.text("flowOutcomeValue", "NONE");
                });
            }
        });
        self.json.close(b'}');
    }
}
