//! Attributes that flows and scripts set on participants. Only the results of jobs have them.

use crate::sandbox::{
    genesys::{
        conversations::records::Facts,
        renderer::{NAMES, Renderer},
    },
    rng::Rng,
};

/// The longest key or value, in characters: the platform truncates longer ones.
const MAX_CHARS: usize = 1024;
/// Keys with spaces, dots, leading digits, trailing blanks and other scripts.
const KEYS: [&str; 11] = [
    "CustomerTier",
    "customer tier",
    "Customer.Tier",
    "2nd choice",
    "trailing blank ",
    "context.genesys.legacyRoutingTargetQueueAddress",
    "scheduleGroup",
    "Kundennummer",
    "お客様番号",
    "\\\"quoted\\\"",
    "survey/opt-in",
];

/// Generates the attributes of the participants of one conversation, one after the other.
pub(crate) struct AttributeSource(Rng);

impl AttributeSource {
    pub(crate) fn of(facts: &Facts, seed: u64) -> Self {
        Self(facts.attribute_rng(seed))
    }

    /// Writes the attributes of the next participant. Three in ten have none, and then no key.
    pub(crate) fn write(&mut self, renderer: &mut Renderer) {
        let Self(rng) = self;
        if rng.permille(300) {
            return;
        }
        let (first, count) = (rng.below(KEYS.len() as u64) as usize, rng.below(6) as usize);
        renderer.json.open_field("attributes", b'{');
        for key in KEYS.iter().cycle().skip(first).take(count) {
            let value = match rng.below(20) {
                0 => String::new(),
                1 => "0".repeat(MAX_CHARS),
                2..=6 => rng.pick(&NAMES).to_owned(),
                7..=10 => {
                    rng.pick(&["true", "false", "null", "{\\\"a\\\": 1}", "  ", "1e3"]).to_owned()
                }
                _ => format!("{:08}", rng.below(100_000_000)),
            };
            renderer.json.text(key, &value);
        }
        renderer.json.close(b'}');
    }
}
