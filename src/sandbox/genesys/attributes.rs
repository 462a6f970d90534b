//! What flows and scripts write down about participants: told by jobs alone.

use crate::sandbox::{
    genesys::{
        records::Facts,
        renderer::{NAMES, Renderer},
    },
    rng::Rng,
};

/// The longest key or value, in characters: the platform cuts them there.
const LONGEST: usize = 1024;
/// Keys as people make them: spaces, dots, leading digits, trailing blanks, other scripts.
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

/// The attributes of a conversation's participants, one after the other.
pub(super) struct AttributeSource(Rng);

impl AttributeSource {
    pub(super) fn of(facts: &Facts, seed: u64) -> Self {
        Self(facts.attribute_dice(seed))
    }

    /// Writes those of the next participant: three in ten have none, and no key about it.
    pub(super) fn write(&mut self, renderer: &mut Renderer) {
        let Self(rng) = self;
        if rng.permille(300) {
            return;
        }
        let (first, count) = (rng.below(KEYS.len() as u64) as usize, rng.below(6) as usize);
        renderer.json.open_field("attributes", b'{');
        for key in KEYS.iter().cycle().skip(first).take(count) {
            let value = match rng.below(20) {
                0 => String::new(),
                1 => "0".repeat(LONGEST),
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
