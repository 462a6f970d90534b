//! A way as the file writes it, and what is wrong with it.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde::{Deserialize, Deserializer, de::Error};
use url::Url;

use crate::catalog::{
    InvalidKey, NO_DURATION, days,
    endpoint::{
        AsyncJob, Endpoint, JsonPointer, Paging, ParentQuery, RequestTemplate, ResponseFormat,
        RowsAt, TotalAccuracy,
    },
    template::{Placeholder, Template, pieces},
};

/// The bucket of submits that name none: when the platform takes no more of them, everything else
/// goes on.
const SUBMIT: &str = "submit";

/// A way as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointEntry {
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    query: toml::Table,
    #[serde(default)]
    body: toml::Table,
    #[serde(default)]
    defaults: toml::Table,
    bucket: Option<String>,
    rows: String,
    #[serde(default)]
    explode: Vec<String>,
    total: Option<String>,
    total_is: Option<TotalAccuracy>,
    #[serde(default)]
    paging: Paging,
    next: Option<String>,
    page_size: Option<u32>,
    depth: Option<u64>,
    widest: Option<String>,
    widest_filtered: Option<String>,
    #[serde(default)]
    ordered: bool,
    #[serde(default)]
    format: ResponseFormat,
    each: Option<ParentQuery>,
    submit: Option<JobStep<SubmitStep>>,
    poll: Option<JobStep<PollStep>>,
    delete: Option<RequestEntry>,
    available: Option<JobStep<AvailabilityStep>>,
    download: Option<String>,
    #[serde(default)]
    extras: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestEntry {
    method: Option<String>,
    path: String,
    #[serde(default)]
    query: toml::Table,
    #[serde(default)]
    body: toml::Table,
    #[serde(default)]
    defaults: toml::Table,
    bucket: Option<String>,
}

/// A request, and what is to be known of its reply, in one table.
struct JobStep<T> {
    request: RequestEntry,
    reply: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitStep {
    task: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollStep {
    state: String,
    done: Vec<String>,
    #[serde(default)]
    failed: Vec<String>,
    #[serde(default)]
    gone: Vec<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AvailabilityStep {
    until: String,
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for JobStep<T> {
    /// `flatten` would let unknown keys pass.
    fn deserialize<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        const REQUEST: [&str; 6] = ["method", "path", "query", "body", "defaults", "bucket"];
        let (request, reply): (toml::Table, toml::Table) = toml::Table::deserialize(table)?
            .into_iter()
            .partition(|(key, _)| REQUEST.contains(&key.as_str()));
        let request = request.try_into().map_err(D::Error::custom)?;
        Ok(Self { request, reply: reply.try_into().map_err(D::Error::custom)? })
    }
}

impl EndpointEntry {
    /// Checks the way that stands at `key`.
    pub(crate) fn check(self, key: &str) -> Result<Endpoint, InvalidKey> {
        let at = |field: &str| format!("{key}.{field}");
        let ensure = |good: bool, field: &str, reason: &str| {
            good.then_some(()).ok_or(InvalidKey::new(&at(field), reason))
        };
        ensure(self.page_size != Some(0), "page_size", "a page needs a row")?;
        ensure(
            self.page_size.is_some() || self.paging == Paging::None,
            "page_size",
            "say how many rows a page has",
        )?;
        ensure(self.depth != Some(0), "depth", "paging that reaches no row is no paging")?;
        let needs_next = matches!(self.paging, Paging::Cursor | Paging::NextLink);
        ensure(
            self.next.is_some() || !needs_next,
            "next",
            "say where the reply has the cursor or link",
        )?;
        ensure(
            self.total.is_some() || self.total_is.is_none(),
            "total_is",
            "there is no total: say where the reply has it (`total`), or leave this out",
        )?;
        let duration = |text: &Option<String>, field: &str, other: Duration| match text {
            Some(text) => days(text).ok_or_else(|| InvalidKey::new(&at(field), NO_DURATION)),
            None => Ok(other),
        };
        let widest = duration(&self.widest, "widest", Duration::MAX)?;
        let async_job = match (self.submit, self.poll) {
            (Some(submit), Some(poll)) => Some(task(
                key,
                submit,
                poll,
                self.delete,
                self.available,
                self.download.as_deref(),
            )?),
            (None, None) => None,
            (Some(_), None) => {
                return Err(InvalidKey::new(&at("poll"), "what is submitted is to be polled"));
            }
            (None, Some(_)) => {
                return Err(InvalidKey::new(&at("submit"), "what is polled is to be submitted"));
            }
        };
        // what is downloaded needs no request of its own
        let path = self.path.or(self.download.map(|_| "/".to_owned()));
        let request = RequestEntry {
            method: self.method,
            path: path.ok_or_else(|| InvalidKey::new(&at("path"), "a request needs a path"))?,
            query: self.query,
            body: self.body,
            defaults: self.defaults,
            bucket: self.bucket,
        };
        let request = request.check(key, "GET")?;
        let page = &[("{page}", Placeholder::Page), ("{page0}", Placeholder::PageFromZero)][..];
        let needed = match self.paging {
            Paging::PageNumber => page,
            Paging::Offset => &[("{offset}", Placeholder::Offset)],
            Paging::Cursor => &[("{cursor}", Placeholder::Cursor)],
            Paging::NextLink | Paging::None => &[],
        };
        let each =
            if self.each.is_some() { &[("{each}", Placeholder::ParentQuery)][..] } else { &[] };
        for needed in [needed, each].into_iter().filter(|needed| !needed.is_empty()) {
            if !needed.iter().any(|(_, slot)| request.uses(slot)) {
                let name = needed[0].0;
                return Err(InvalidKey::new(
                    key,
                    format!("the request lacks {name}: every page would be the first"),
                ));
            }
        }
        Ok(Endpoint {
            widest: [widest, duration(&self.widest_filtered, "widest_filtered", widest)?],
            rows: if self.rows == "*" {
                RowsAt::OnlyList
            } else {
                RowsAt::JsonPointer(place(&at("rows"), &self.rows)?)
            },
            total: self.total.map(|total| place(&at("total"), &total)).transpose()?,
            total_is: self.total_is.unwrap_or_default(),
            next: self.next.map(|next| place(&at("next"), &next)).transpose()?,
            request,
            page_size: self.page_size.unwrap_or(u32::MAX),
            depth: self.depth.unwrap_or(u64::MAX),
            explode: self.explode,
            paging: self.paging,
            ordered: self.ordered,
            format: self.format,
            parent: self.each,
            extras: self.extras,
            async_job,
        })
    }
}

fn task(
    key: &str,
    submit: JobStep<SubmitStep>,
    JobStep { request, reply: poll }: JobStep<PollStep>,
    delete: Option<RequestEntry>,
    available: Option<JobStep<AvailabilityStep>>,
    download: Option<&str>,
) -> Result<AsyncJob, InvalidKey> {
    let at = |field: &str| format!("{key}.{field}");
    if poll.done.is_empty() {
        return Err(InvalidKey::new(
            &at("poll.done"),
            "say in which state the results can be fetched",
        ));
    }
    Ok(AsyncJob {
        id: place(&at("submit.task"), &submit.reply.task)?,
        submit: RequestEntry {
            bucket: submit.request.bucket.or(Some(SUBMIT.to_owned())),
            ..submit.request
        }
        .check(&at("submit"), "POST")?,
        state: place(&at("poll.state"), &poll.state)?,
        error: poll.error.map(|error| place(&at("poll.error"), &error)).transpose()?,
        poll: request.check(&at("poll"), "GET")?,
        done: poll.done,
        failed: poll.failed,
        gone: poll.gone,
        delete: delete.map(|delete| delete.check(&at("delete"), "DELETE")).transpose()?,
        available: match available {
            Some(JobStep { request, reply }) => Some((
                request.check(&at("available"), "GET")?,
                place(&at("available.until"), &reply.until)?,
            )),
            None => None,
        },
        download: download.map(|download| place(&at("download"), download)).transpose()?,
    })
}

impl RequestEntry {
    /// Checks the request that stands at `key`; `method` is what it has where none is given.
    fn check(self, key: &str, method: &str) -> Result<RequestTemplate, InvalidKey> {
        let at = |field: &str| format!("{key}.{field}");
        // a host in the path would be sent the token (G10), and addresses are read leniently: `/\\host`
        let told = Url::parse("https://api.invalid").and_then(|api| api.join(&self.path));
        let names_no_host = told.is_ok_and(|told| told.host_str() == Some("api.invalid"));
        if !self.path.starts_with('/') || !names_no_host {
            return Err(InvalidKey::new(
                &at("path"),
                "a path begins with one slash and names no host",
            ));
        }
        let method = match self.method.as_deref().unwrap_or(method) {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "DELETE" => Method::DELETE,
            _ => return Err(InvalidKey::new(&at("method"), "a method is GET, POST or DELETE")),
        };
        if method != Method::POST && !self.body.is_empty() {
            return Err(InvalidKey::new(&at("body"), "only a POST has a body"));
        }
        let fixed =
            |(name, value): (String, toml::Value)| Some((name, serde_json::to_value(value).ok()?));
        Ok(RequestTemplate {
            method,
            path: pieces(&self.path).map_err(|reason| InvalidKey::new(&at("path"), reason))?,
            query: Template::read_table(&at("query"), self.query)?,
            body: Template::read_table(&at("body"), self.body)?,
            defaults: self.defaults.into_iter().filter_map(fixed).collect(),
            bucket: self.bucket.map(Arc::from),
        })
    }
}

/// The keys of a JSON pointer (RFC 6901).
fn place(key: &str, pointer: &str) -> Result<JsonPointer, InvalidKey> {
    match pointer.split_once('/') {
        None if pointer.is_empty() => Ok(Vec::new()),
        Some(("", keys)) => {
            Ok(keys.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect())
        }
        _ => Err(InvalidKey::new(
            key,
            format!("`{pointer}` is no json pointer: write it like /data/rows"),
        )),
    }
}
