//! An endpoint as the file writes it.

use std::time::Duration;

use http::Method;
use serde::Deserialize;

use crate::catalog::{
    InvalidKey,
    endpoint::{AsyncJob, Endpoint, Paging, ParentQuery, ResponseFormat, RowsAt, TotalAccuracy},
    file::{
        parse_duration,
        request_entry::{JobStep, RequestEntry, json_pointer, optional_pointer},
    },
    placeholder::Placeholder,
    request::RequestTemplate,
};

/// The bucket of submissions that name none: if the platform accepts no more of them, other
/// requests go on.
const SUBMIT_BUCKET: &str = "submit";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointEntry {
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
    pages: Option<String>,
    #[serde(default)]
    short_page_is_last: bool,
    without_rows: Option<Vec<String>>,
    page_size: Option<u32>,
    depth: Option<u64>,
    widest: Option<String>,
    widest_filtered: Option<String>,
    #[serde(default)]
    ordered: bool,
    #[serde(default)]
    format: ResponseFormat,
    each: Option<ParentQuery>,
    submit: Option<JobStep<SubmitResponse>>,
    poll: Option<JobStep<PollResponse>>,
    delete: Option<RequestEntry>,
    available: Option<JobStep<AvailabilityResponse>>,
    download: Option<String>,
    #[serde(default)]
    extras: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitResponse {
    task: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollResponse {
    state: String,
    done: Vec<String>,
    #[serde(default)]
    pending: Vec<String>,
    #[serde(default)]
    failed: Vec<String>,
    #[serde(default)]
    gone: Vec<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AvailabilityResponse {
    until: String,
}

impl EndpointEntry {
    /// Checks the endpoint at `key`.
    pub(super) fn check(self, key: &str) -> Result<Endpoint, InvalidKey> {
        let at = |field: &str| format!("{key}.{field}");
        self.check_paging(key)?;
        let widest = match &self.widest {
            Some(text) => parse_duration(&at("widest"), text)?,
            None => Duration::MAX,
        };
        let widest_filtered = match &self.widest_filtered {
            Some(text) => parse_duration(&at("widest_filtered"), text)?,
            None => widest,
        };
        let async_job = match (self.submit, self.poll) {
            (Some(submit), Some(poll)) => Some(check_job(
                key,
                submit,
                poll,
                self.delete,
                self.available,
                self.download.as_deref(),
            )?),
            (None, None) => None,
            (Some(_), None) => {
                return Err(InvalidKey::new(&at("poll"), "missing: a submitted job is polled"));
            }
            (None, Some(_)) => {
                return Err(InvalidKey::new(&at("submit"), "missing: a polled job is submitted"));
            }
        };
        // a download needs no request of its own
        let path = self.path.or(self.download.map(|_| "/".to_owned()));
        let request = RequestEntry {
            method: self.method,
            path: path
                .ok_or_else(|| InvalidKey::new(&at("path"), "missing: write it like /v1/rows"))?,
            query: self.query,
            body: self.body,
            defaults: self.defaults,
            bucket: self.bucket,
        };
        let request = request.check(key, Method::GET)?;
        check_placeholders(key, &request, self.paging, self.each.is_some())?;
        let rows = match self.rows.as_str() {
            "*" => RowsAt::OnlyList,
            pointer => RowsAt::JsonPointer(json_pointer(&at("rows"), pointer)?),
        };
        Ok(Endpoint {
            request,
            rows,
            explode: self.explode,
            total: optional_pointer(&at("total"), self.total.as_deref())?,
            total_is: self.total_is.unwrap_or_default(),
            paging: self.paging,
            next: optional_pointer(&at("next"), self.next.as_deref())?,
            pages: optional_pointer(&at("pages"), self.pages.as_deref())?,
            short_page_is_last: self.short_page_is_last,
            without_rows: self.without_rows,
            page_size: self.page_size.unwrap_or(u32::MAX),
            depth: self.depth.unwrap_or(u64::MAX),
            widest: [widest, widest_filtered],
            ordered: self.ordered,
            format: self.format,
            parent: self.each,
            async_job,
            extras: self.extras,
        })
    }

    /// Adds what names the entity to the defaults of the submission. `false` if nothing is
    /// submitted.
    pub(super) fn name_entity(&mut self, entity: &toml::Table) -> bool {
        let Some(submit) = &mut self.submit else { return false };
        submit.request.defaults.extend(entity.clone());
        true
    }

    fn check_paging(&self, key: &str) -> Result<(), InvalidKey> {
        let ensure = |is_valid: bool, field: &str, reason: &str| {
            if is_valid { Ok(()) } else { Err(InvalidKey::new(&format!("{key}.{field}"), reason)) }
        };
        ensure(self.page_size != Some(0), "page_size", "must be at least 1")?;
        ensure(
            self.page_size.is_some() || self.paging == Paging::None,
            "page_size",
            "missing: give the number of rows per page",
        )?;
        ensure(self.depth != Some(0), "depth", "must be at least 1")?;
        let needs_next = matches!(self.paging, Paging::Cursor | Paging::NextLink);
        ensure(
            self.next.is_some() || !needs_next,
            "next",
            "missing: say where the response has the cursor or link",
        )?;
        ensure(
            self.next.is_none() || self.paging != Paging::LinkHeader,
            "next",
            "the next page is in the header `Link`: leave this out",
        )?;
        ensure(
            self.pages.is_none() || self.paging == Paging::PageNumber,
            "pages",
            "only numbered pages are counted: leave this out, or set paging = \"page-number\"",
        )?;
        ensure(
            !self.short_page_is_last || matches!(self.paging, Paging::PageNumber | Paging::Offset),
            "short_page_is_last",
            "only pages with numbers or offsets end so: leave this out",
        )?;
        let is_pointer = |key: &String| key.starts_with('/');
        ensure(
            self.without_rows.iter().flatten().all(is_pointer),
            "without_rows",
            "not a JSON pointer: write a key like /count",
        )?;
        ensure(
            self.total.is_some() || self.total_is.is_none(),
            "total_is",
            "there is no total: say where the response has it (`total`), or leave this out",
        )
    }
}

/// Checks that the request has what tells one page, and one parent, from another.
fn check_placeholders(
    key: &str,
    request: &RequestTemplate,
    paging: Paging,
    has_parent: bool,
) -> Result<(), InvalidKey> {
    let (name, page): (&str, &[Placeholder]) = match paging {
        Paging::PageNumber => ("{page}", &[Placeholder::Page, Placeholder::PageFromZero]),
        Paging::Offset => ("{offset}", &[Placeholder::Offset]),
        Paging::Cursor => ("{cursor}", &[Placeholder::Cursor]),
        Paging::NextLink | Paging::LinkHeader | Paging::None => ("", &[]),
    };
    let parent: &[Placeholder] = if has_parent { &[Placeholder::ParentId] } else { &[] };
    for (name, needed) in [(name, page), ("{each}", parent)] {
        if !needed.is_empty() && !needed.iter().any(|placeholder| request.uses(placeholder)) {
            return Err(InvalidKey::new(
                key,
                format!("the request lacks {name}: every page would be the first"),
            ));
        }
    }
    Ok(())
}

fn check_job(
    key: &str,
    submit: JobStep<SubmitResponse>,
    JobStep { request: poll, response: states }: JobStep<PollResponse>,
    delete: Option<RequestEntry>,
    available: Option<JobStep<AvailabilityResponse>>,
    download: Option<&str>,
) -> Result<AsyncJob, InvalidKey> {
    let at = |field: &str| format!("{key}.{field}");
    if states.done.is_empty() {
        return Err(InvalidKey::new(
            &at("poll.done"),
            "the list is empty: name the states in which the results can be fetched",
        ));
    }
    let bucket = submit.request.bucket.or(Some(SUBMIT_BUCKET.to_owned()));
    let submit_request = RequestEntry { bucket, ..submit.request };
    Ok(AsyncJob {
        id: json_pointer(&at("submit.task"), &submit.response.task)?,
        submit: submit_request.check(&at("submit"), Method::POST)?,
        state: json_pointer(&at("poll.state"), &states.state)?,
        error: optional_pointer(&at("poll.error"), states.error.as_deref())?,
        poll: poll.check(&at("poll"), Method::GET)?,
        done: states.done,
        pending: states.pending,
        failed: states.failed,
        gone: states.gone,
        delete: delete.map(|delete| delete.check(&at("delete"), Method::DELETE)).transpose()?,
        available: match available {
            Some(JobStep { request, response }) => Some((
                request.check(&at("available"), Method::GET)?,
                json_pointer(&at("available.until"), &response.until)?,
            )),
            None => None,
        },
        download: optional_pointer(&at("download"), download)?,
    })
}
