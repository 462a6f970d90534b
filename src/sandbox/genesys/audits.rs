//! Audits: who changed what in the organisation.

use std::ops::Range;

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    sandbox::{
        error::ApiError,
        genesys::{
            conversations::{interval, invalid_value, read_json},
            records::days_of,
            renderer::{AGENTS, NAMES, Renderer},
        },
        rng::{Pool, Rng, Uuid},
    },
    time::interval::{DAY_MS, Interval},
};

/// Audits of a UTC day.
const A_DAY: i64 = 240;
const MOST_DAYS: u32 = 30;
/// Services, and in the same order what they look after.
const SERVICES: [&str; 5] =
    ["Routing", "PeoplePermissions", "Architect", "ContactCenter", "Quality"];
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

/// What is asked of the audits.
#[derive(Clone, Debug)]
pub(super) struct AuditQuery {
    pub(super) interval: Interval,
    pub(super) service: Option<&'static str>,
    descending: bool,
}

/// An audit before it is written: its day, its number there, and when it was.
#[derive(Clone, Copy)]
struct Audit {
    day: i64,
    number: i64,
    at: i64,
}

impl AuditQuery {
    /// Reads the body of a query.
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let body: AuditQueryBody = read_json(body)?;
        if body.filters.is_some_and(|filters| !filters.is_empty()) {
            return Err(ApiError::bad_request("filters are not played by the sandbox"));
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
            interval: interval(body.interval.as_deref(), MOST_DAYS)?,
            service: body
                .service_name
                .map(|name| known(&name).ok_or_else(|| unknown(&name)))
                .transpose()?,
            descending,
        })
    }

    /// How many audits it finds.
    pub(super) fn count(&self, seed: u64) -> usize {
        self.audits(seed).len()
    }

    /// Writes some of what it finds, as elements of a list.
    pub(super) fn write(&self, renderer: &mut Renderer, rows: Range<usize>) {
        let audits = self.audits(renderer.seed);
        audits.get(rows).unwrap_or_default().iter().for_each(|audit| renderer.audit(audit));
    }

    fn audits(&self, seed: u64) -> Vec<Audit> {
        let of_day = |day| (0..A_DAY).map(move |number| Audit::new(seed, day, number));
        let asked = |audit: &Audit| {
            self.interval.contains(audit.at)
                && self.service.is_none_or(|service| SERVICES[audit.service(seed)] == service)
        };
        let mut audits: Vec<_> = days_of(self.interval).flat_map(of_day).filter(asked).collect();
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
            Self::rng(seed, day, number, 0).between(0, DAY_MS / A_DAY)
        };
        Self { day, number, at: day * DAY_MS + number * (DAY_MS / A_DAY) + jitter }
    }

    fn rng(seed: u64, day: i64, number: i64, purpose: i64) -> Rng {
        Rng::new([seed, 0xa0d1, day.cast_unsigned(), (number + A_DAY * purpose).cast_unsigned()])
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
                s.entity("user", s.id(Pool::Agent, user), Some(NAMES[user as usize % NAMES.len()]));
                s.json.texts("remoteIp", &["203.0.113.7", "10.0.0.1"]);
            } else {
                s.entity("client", s.id(Pool::Contact, 0), None);
            }
            s.json.text("serviceName", SERVICES[service]);
            s.json.text("level", if by_user { "USER" } else { "SYSTEM" });
            s.json.time("eventDate", audit.at);
            s.json.text("action", action);
            s.entity(
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

    fn entity(&mut self, key: &str, id: Uuid, name: Option<&str>) {
        self.json.open_field(key, b'{');
        self.json.uuid("id", id);
        if let Some(name) = name {
            self.json.text("name", name);
        }
        self.json.close(b'}');
    }
}

/// Every audit of a part of one day, a line each.
pub(super) fn lines(renderer: &mut Renderer, part: Interval) {
    for audit in
        (AuditQuery { interval: part, service: None, descending: false }).audits(renderer.seed)
    {
        renderer.audit(&audit);
        renderer.json.newline();
    }
}
