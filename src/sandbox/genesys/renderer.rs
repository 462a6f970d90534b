//! Writes records as JSON, straight into the page that carries them.

use crate::sandbox::{
    genesys::conversations::records::Variation,
    json::Json,
    rng::{Pool, Rng, Uuid, id},
};

/// Names with accents, other scripts and quotes. JSON text, escapes included.
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
/// The names of the flows.
pub(crate) const FLOWS: [&str; 8] = [
    "Hauptmenü",
    "Main menu",
    "Reklamation",
    "VIP",
    "請求書",
    "Auskunft",
    "Rechnung / Invoice",
    "Après-vente",
];
pub(crate) const AGENTS: u64 = 60;
/// Bytes reserved for each record: most are smaller.
const RECORD_CAPACITY: usize = 8 * 1024;

/// Writes records, one after the other.
pub(crate) struct Renderer {
    pub(crate) json: Json,
    pub(crate) seed: u64,
    /// The random numbers of the record being written.
    pub(crate) rng: Rng,
    /// Whether conversations have the attributes of their participants, as in the results of jobs.
    pub(crate) with_attributes: bool,
    /// How conversations differ from the usual ones.
    pub(crate) variation: Variation,
}

impl Renderer {
    /// A renderer with capacity for `records` records.
    pub(crate) fn new(seed: u64, records: usize) -> Self {
        Self {
            json: Json::with_capacity(records * RECORD_CAPACITY),
            seed,
            rng: Rng::new([0; 4]),
            with_attributes: false,
            variation: Variation::default(),
        }
    }

    pub(crate) fn id(&self, pool: Pool, n: u64) -> Uuid {
        id(self.seed, pool, n)
    }

    /// Writes an object that is an element of a list.
    pub(crate) fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.json.open(b'{');
        fields(self);
        self.json.close(b'}');
    }

    /// Writes a list that is a field of an object.
    pub(crate) fn list(&mut self, key: &str, elements: impl FnOnce(&mut Self)) {
        self.json.open_field(key, b'[');
        elements(self);
        self.json.close(b']');
    }
}
