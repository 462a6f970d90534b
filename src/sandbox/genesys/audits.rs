//! Audits: who changed what in the organisation, and when.

use std::ops::Range;

use serde::{Deserialize, de::IgnoredAny};

use crate::sandbox::{
    error::ApiError,
    genesys::{
        renderer::{AGENTS, NAMES, Renderer},
        request::{interval, invalid_value, read_json},
    },
    rng::{Pool, Rng, Uuid},
    time::{DAY_MS, TimeRange},
};

/// Audits of a UTC day.
const AUDITS_PER_DAY: i64 = 240;
const MAX_DAYS: i64 = 30;
const SERVICES: [&str; 5] =
    ["Routing", "PeoplePermissions", "Architect", "ContactCenter", "Quality"];
/// The entity types of [`SERVICES`], in the same order.
const ENTITY_TYPES: [&str; 5] = ["Queue", "Role", "Flow", "Utilization", "Form"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditQueryBody {
    interval: Option<String>,
    service_name: Option<String>,
    filters: Option<Vec<IgnoredAny>>,
    sort: Option<Vec<Sort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sort {
    name: String,
    sort_order: String,
}

/// A query that can be answered.
#[derive(Clone, Debug)]
pub(crate) struct AuditQuery {
    pub(crate) interval: TimeRange,
    pub(crate) service: Option<&'static str>,
    descending: bool,
}

/// An audit before it is written: its day, its number in the day, and its time.
#[derive(Clone, Copy)]
struct Audit {
    day: i64,
    number: i64,
    at: i64,
}

impl AuditQuery {
    /// Reads the body of a query.
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let body: AuditQueryBody = read_json(body)?;
        if body.filters.is_some_and(|filters| !filters.is_empty()) {
            return Err(ApiError::bad_request("filters are not simulated by the sandbox"));
        }
        let known = |name: &str| SERVICES.into_iter().find(|service| *service == name);
        let unknown = |name: &str| invalid_value(format!("unknown serviceName: {name}"));
        let sort = body.sort.unwrap_or_default();
        let descending =
            match sort.first().map(|sort| (sort.name.as_str(), sort.sort_order.as_str())) {
                None | Some(("Timestamp", "ascending")) => false,
                Some(("Timestamp", "descending")) => true,
                Some((name, order)) => {
                    return Err(invalid_value(format!("unknown sort: {name} {order}")));
                }
            };
        Ok(Self {
            interval: interval(body.interval.as_deref(), MAX_DAYS)?,
            service: body
                .service_name
                .map(|name| known(&name).ok_or_else(|| unknown(&name)))
                .transpose()?,
            descending,
        })
    }

    /// The number of audits that match.
    pub(crate) fn count(&self, seed: u64) -> usize {
        self.audits(seed).len()
    }

    /// Writes these of the matching audits as elements of a list.
    pub(crate) fn write(&self, renderer: &mut Renderer, rows: Range<usize>) {
        let audits = self.audits(renderer.seed);
        for audit in audits.get(rows).unwrap_or_default() {
            renderer.audit(audit);
        }
    }

    fn audits(&self, seed: u64) -> Vec<Audit> {
        let of_day = |day| (0..AUDITS_PER_DAY).map(move |number| Audit::new(seed, day, number));
        let matches = |audit: &Audit| {
            self.interval.contains(audit.at)
                && self.service.is_none_or(|service| SERVICES[audit.service(seed)] == service)
        };
        let mut audits: Vec<_> = self.interval.days().flat_map(of_day).filter(matches).collect();
        if self.descending {
            audits.reverse();
        }
        audits
    }
}

impl Audit {
    fn new(seed: u64, day: i64, number: i64) -> Self {
        let jitter = if number == 0 {
            0
        } else {
            Self::rng(seed, day, number, 0).between(0, DAY_MS / AUDITS_PER_DAY)
        };
        Self { day, number, at: day * DAY_MS + number * (DAY_MS / AUDITS_PER_DAY) + jitter }
    }

    fn rng(seed: u64, day: i64, number: i64, purpose: i64) -> Rng {
        Rng::new([
            seed,
            0xa0d1,
            day.cast_unsigned(),
            (number + AUDITS_PER_DAY * purpose).cast_unsigned(),
        ])
    }

    fn id(&self, seed: u64) -> Uuid {
        Self::rng(seed, self.day, self.number, 1).uuid()
    }

    fn service(&self, seed: u64) -> usize {
        Self::rng(seed, self.day, self.number, 2).below(SERVICES.len() as u64) as usize
    }
}

impl Renderer {
    fn audit(&mut self, audit: &Audit) {
        let mut rng = Audit::rng(self.seed, audit.day, audit.number, 3);
        let service = audit.service(self.seed);
        let by_user = rng.permille(800);
        let action = rng.pick(&["Create", "Update", "Update", "Update", "Delete"]);
        self.object(|s| {
            s.json.uuid("id", audit.id(s.seed));
            s.json.uuid("userHomeOrgId", s.id(Pool::Organization, 0));
            if by_user {
                let user = rng.below(AGENTS);
                s.reference(
                    "user",
                    s.id(Pool::Agent, user),
                    Some(NAMES[user as usize % NAMES.len()]),
                );
                s.json.texts("remoteIp", &["203.0.113.7", "10.0.0.1"]);
            } else {
                s.reference("client", s.id(Pool::Contact, 0), None);
            }
            s.json.text("serviceName", SERVICES[service]);
            s.json.text("level", if by_user { "USER" } else { "SYSTEM" });
            s.json.time("eventDate", audit.at);
            s.json.text("action", action);
            s.reference(
                "entity",
                rng.uuid(),
                Some(rng.pick(&["Beschwerden", "VIP \\\"gold\\\"", "請求書", "Sales"])),
            );
            s.json.text("entityType", ENTITY_TYPES[service]);
            s.json.text("status", if rng.permille(950) { "SUCCESS" } else { "FAILURE" });
            if action == "Update" {
                s.list("propertyChanges", |s| {
                    s.object(|s| {
                        s.json.text("property", "name");
                        s.json.texts("oldValues", &["alt"]);
                        s.json.texts("newValues", &["neu", "nouveau"]);
                    });
                });
            }
            if rng.permille(200) {
                s.json.open_field("context", b'{');
                s.json.text("correlation.id", "sandbox");
                s.json.close(b'}');
            }
        });
    }

    fn reference(&mut self, key: &str, id: Uuid, name: Option<&str>) {
        self.json.open_field(key, b'{');
        self.json.uuid("id", id);
        if let Some(name) = name {
            self.json.text("name", name);
        }
        self.json.close(b'}');
    }
}

/// Writes every audit of a part of one day, one per line.
pub(crate) fn lines(renderer: &mut Renderer, part: TimeRange) {
    let query = AuditQuery { interval: part, service: None, descending: false };
    for audit in query.audits(renderer.seed) {
        renderer.audit(&audit);
        renderer.json.newline();
    }
}
