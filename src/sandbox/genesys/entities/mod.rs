//! The entities of the organisation (users, queues, codes and others) as lists with pages.
//!
//! The ids are those that conversations refer to. Some lists have more entities than conversations
//! refer to, so that they do not fit on one page. `render` writes the entities.

mod render;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use serde_json::{Value, json};
use url::form_urlencoded::{self, Serializer};

use self::render::{
    ACTIVE_USERS, PRESENCES, division, flow, group, language, member, members, presence, queue,
    skill, text, user, wrapup_code,
};
pub(crate) use self::render::{presence_id, presence_number};
use crate::sandbox::{
    error::ApiError,
    genesys::{
        conversations::records::QUEUES,
        renderer::{DIVISIONS, FLOWS},
    },
    rng::Pool,
};

const DEFAULT_PAGE_SIZE: u64 = 25;
const MEMBERS: &str = "queue-members";
const PRESENCE_DEFINITIONS: &str = "presence-definitions";

/// A list of entities.
pub(crate) struct Listing {
    /// The name of the dataset.
    dataset: &'static str,
    /// `{}` stands for a queue's id.
    path: &'static str,
    /// Empty if no permission is needed.
    permission: &'static str,
    /// The largest page, in entities.
    max_page_size: u64,
    /// The number of entities in the organisation, or in the queue with this number.
    count: fn(u64) -> u64,
    /// The fields of the `n`th entity except `selfUri`.
    entity: fn(seed: u64, n: u64) -> Value,
}

const LISTINGS: [Listing; 10] = [
    listing("users", "/api/v2/users", "", 500, |_| ACTIVE_USERS + 40, user),
    listing(
        "queues",
        "/api/v2/routing/queues",
        "routing:queue:view",
        500,
        |_| QUEUES.into(),
        queue,
    ),
    listing(
        MEMBERS,
        "/api/v2/routing/queues/{}/members",
        "routing:queue:view",
        100,
        members,
        member,
    ),
    listing(
        "wrapup-codes",
        "/api/v2/routing/wrapupcodes",
        "routing:wrapupCode:view",
        100,
        |_| 130,
        wrapup_code,
    ),
    listing("skills", "/api/v2/routing/skills", "routing:skill:view", 100, |_| 40, skill),
    listing("languages", "/api/v2/routing/languages", "", 100, |_| 5, language),
    listing("groups", "/api/v2/groups", "", 100, |_| 6, group),
    listing("flows", "/api/v2/flows", "architect:flow:view", 100, |_| FLOWS.len() as u64, flow),
    listing("divisions", "/api/v2/authorization/divisions", "", 100, |_| DIVISIONS, division),
    listing(
        PRESENCE_DEFINITIONS,
        "/api/v2/presence/definitions",
        "presence:presenceDefinition:view",
        100,
        |_| PRESENCES.len() as u64,
        presence,
    ),
];

const fn listing(
    dataset: &'static str,
    path: &'static str,
    permission: &'static str,
    max_page_size: u64,
    count: fn(u64) -> u64,
    entity: fn(u64, u64) -> Value,
) -> Listing {
    Listing { dataset, path, permission, max_page_size, count, entity }
}

/// The list at a path, and the id of the queue that the path names.
pub(crate) fn at(path: &str) -> Option<(&'static Listing, &str)> {
    LISTINGS.iter().find_map(|listing| match listing.path.split_once("{}") {
        None => (listing.path == path).then_some((listing, "")),
        Some((before, after)) => {
            let queue = path.strip_prefix(before)?.strip_suffix(after)?;
            (!queue.contains('/')).then_some((listing, queue))
        }
    })
}

/// The permission that the list at a path needs.
pub(crate) fn permission(path: &str) -> Option<&'static str> {
    at(path).map(|(listing, _)| listing.permission).filter(|permission| !permission.is_empty())
}

/// A page of the list that a request asks for.
///
/// # Errors
///
/// 404 for an unknown queue, 400 for an invalid page.
pub(crate) fn page(seed: u64, request: &Request<Bytes>) -> Result<Bytes, ApiError> {
    let (listing, queue) = at(request.uri().path()).ok_or_else(ApiError::not_found)?;
    let queue = match queue {
        "" => 0,
        id => (0..QUEUES.into())
            .find(|&n| text(seed, Pool::Queue, n) == id)
            .ok_or_else(ApiError::not_found)?,
    };
    let parameters = PageParameters::new(request.uri());
    let entities = listing.entities(seed, queue, parameters.value("state").unwrap_or("active"));
    let total = entities.len() as u64;
    let (size, number) = parameters.page(listing.max_page_size)?;
    let mut page = parameters.links(size, number, total.div_ceil(size));
    match listing.dataset {
        MEMBERS => {
            page.as_object_mut().map(|page| (page.remove("pageCount"), page.remove("lastUri")));
        }
        // only the links and the number of pages tell that there are more
        PRESENCE_DEFINITIONS => {}
        _ => page["total"] = total.into(),
    }
    let skipped = usize::try_from((number - 1) * size).unwrap_or(usize::MAX);
    page["entities"] = entities.into_iter().skip(skipped).take(size as usize).collect();
    Ok(page.to_string().into())
}

/// The query parameters of a request.
struct PageParameters<'a> {
    uri: &'a Uri,
    values: Vec<(String, String)>,
}

impl<'a> PageParameters<'a> {
    fn new(uri: &'a Uri) -> Self {
        let values = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self { uri, values: values.into_owned().collect() }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The size and the number of the page.
    fn page(&self, max: u64) -> Result<(u64, u64), ApiError> {
        let number = |name: &str, default: u64| {
            self.value(name).map_or(Ok(default), str::parse).unwrap_or(0)
        };
        let (size, number) = (number("pageSize", DEFAULT_PAGE_SIZE), number("pageNumber", 1));
        let invalid =
            |message: String| ApiError::new(StatusCode::BAD_REQUEST, "invalid.value", message);
        if !(1..=max).contains(&size) {
            return Err(invalid(format!("pageSize must be between 1 and {max}")));
        }
        if !(1..=u64::from(u32::MAX)).contains(&number) {
            return Err(invalid("pageNumber must be at least 1".to_owned()));
        }
        Ok((size, number))
    }

    /// The fields that describe the page, with relative addresses of the other pages.
    fn links(&self, size: u64, number: u64, pages: u64) -> Value {
        let uri = |page: u64| {
            let mut query = Serializer::new(String::new());
            let others = self
                .values
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "pageSize" | "pageNumber"));
            query
                .append_pair("pageSize", &size.to_string())
                .append_pair("pageNumber", &page.to_string());
            format!("{}?{}", self.uri.path(), query.extend_pairs(others).finish())
        };
        let mut page = json!({
            "pageSize": size,
            "pageNumber": number,
            "pageCount": pages,
            "firstUri": uri(1),
            "lastUri": uri(pages.max(1)),
            "selfUri": uri(number),
        });
        if number < pages {
            page["nextUri"] = uri(number + 1).into();
        }
        if number > 1 {
            page["previousUri"] = uri(number - 1).into();
        }
        page
    }
}

/// Every entity of a dataset, one per line: of users the active ones, of members all queues.
pub(crate) fn truth(
    seed: u64,
    dataset: &str,
) -> Option<impl Iterator<Item = Bytes> + Send + use<>> {
    let listing = LISTINGS.iter().find(|listing| listing.dataset == dataset)?;
    let members = listing.dataset == MEMBERS;
    let queues = if members { QUEUES.into() } else { 1 };
    Some((0..queues).map(move |queue| {
        let lines = listing.entities(seed, queue, "active").into_iter().map(|mut entity| {
            if members {
                entity["queueId"] = text(seed, Pool::Queue, queue).into();
            }
            format!("{entity}\n")
        });
        lines.collect::<String>().into()
    }))
}

impl Listing {
    /// All entities, or those of a queue, in this state. Entities without a state match any.
    fn entities(&self, seed: u64, queue: u64, state: &str) -> Vec<Value> {
        let entities =
            (0..(self.count)(queue)).map(|n| (self.entity)(seed, n)).map(|mut entity| {
                let id = entity["id"].as_str().unwrap_or_default();
                let queue_id = text(seed, Pool::Queue, queue);
                entity["selfUri"] = format!("{}/{id}", self.path.replace("{}", &queue_id)).into();
                entity
            });
        entities
            .filter(|entity| {
                state == "any" || entity["state"].as_str().is_none_or(|is| is == state)
            })
            .collect()
    }
}
