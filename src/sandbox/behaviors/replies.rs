//! Pages that mean something else than they seem to, or say it in another form.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::LINK};
use serde_json::{Value, json};
use url::form_urlencoded::{self, Serializer};

use crate::sandbox::{
    behaviors::{Answer, Behavior, BehaviorKind, Exchange},
    cxone,
};

/// See the module.
pub(super) const ALL: &[Behavior] = &[
    odd("byte-order-mark", "every body begins with a byte order mark", byte_order_mark),
    odd("no-total", "a page has no total, and an empty list if it has no rows", no_total),
    odd(
        "odd-totals",
        "totals are null, a text, negative or a number with a fraction, in turn, and a page without \
         rows has an empty list",
        odd_totals,
    ),
    odd("null-list", "a page without rows has null in the place of the list", null_list),
    odd("other-key", "a page has its rows under another key, and no total", other_key),
    odd(
        "error-in-a-success",
        "a list is answered 200 with an error and nothing else",
        error_in_200,
    ),
    odd("page-number-ignored", "every page of a query is the first", page_number_ignored),
    odd("next-uri-never-changes", "every page of a list is the first", list_ignores_pages),
    odd(
        "last-page-repeated",
        "after the last page of a query comes the last page again",
        last_again,
    ),
    odd(
        "row-deleted-between-pages",
        "when the second page of a query is requested for the first time, a row of the first is \
         missing, so that the total falls and a row is skipped",
        row_deleted,
    ),
    odd(
        "total-keeps-falling",
        "the total of a query falls by one from page to page, again and again",
        total_keeps_falling,
    ),
    odd("link-header", "the next page of a list is named in the header `Link` alone", link_header),
    odd("only-a-page-count", "pages of a list have neither links nor a total", only_page_count),
    odd("pages-without-a-next-link", "no page of a list names the next one", no_next_uri),
    odd("next-uri-with-another-port", "links to the next page are absolute, to port 80", |e, a| {
        absolute_links(e, a, "http://127.0.0.1:80")
    }),
    odd("next-uri-by-https", "links to the next page are absolute, by https", |e, a| {
        absolute_links(e, a, "https://127.0.0.1")
    }),
    Behavior {
        name: "next-uri-of-another-host",
        kind: BehaviorKind::Hostile,
        effect: "links to the next page lead to another host",
        apply: |exchange, answer| absolute_links(exchange, answer, "http://localhost:9"),
    },
    odd(
        "beyond-the-depth",
        "a query for more than six hours has no rows and a total that paging does not reach",
        beyond_depth,
    ),
    odd("report-not-found", "the file of a data extraction says `Report not found`", |e, a| {
        file(e, a, |_| "Report not found\n".to_owned())
    }),
    odd("csv-with-semicolons", "the file of a data extraction has semicolons", |e, a| {
        file(e, a, |text| text.replace(',', ";"))
    }),
    odd("csv-cut-short", "the file of a data extraction ends within a record", |e, a| {
        file(e, a, |text| {
            let end = text.trim_end().rfind(',').unwrap_or_default();
            text[..end].to_owned()
        })
    }),
];

const fn odd(
    name: &'static str,
    effect: &'static str,
    apply: fn(&Exchange<'_>, Answer<'_>) -> Response<Bytes>,
) -> Behavior {
    Behavior { name, kind: BehaviorKind::Odd, effect, apply }
}

fn byte_order_mark(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    answer(exchange.request).map(|body| [b"\xEF\xBB\xBF", &body[..]].concat().into())
}

/// The lists of rows of the replies that are changed here.
const LISTS: [&str; 2] = ["conversations", "entities"];

/// Whether a request is a query of conversations.
fn is_query(request: &Request<Bytes>) -> bool {
    request.uri().path() == "/api/v2/analytics/conversations/details/query"
}

/// Whether a request is for a list of entities.
fn is_list(request: &Request<Bytes>) -> bool {
    let path = request.uri().path();
    path.starts_with("/api/v2/routing/") || path.starts_with("/api/v2/presence/")
}

/// Changes the JSON of a successful reply.
fn edit(reply: Response<Bytes>, change: impl FnOnce(&mut Value)) -> Response<Bytes> {
    if !reply.status().is_success() {
        return reply;
    }
    reply.map(|body| match serde_json::from_slice(&body) {
        Ok(mut page) => {
            change(&mut page);
            page.to_string().into()
        }
        Err(_) => body,
    })
}

/// Changes the page of a query.
fn edit_query(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    change: impl FnOnce(&mut Value),
) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if is_query(exchange.request) { edit(reply, change) } else { reply }
}

/// Changes the page of a list.
fn edit_list(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    change: impl FnOnce(&mut Value),
) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if is_list(exchange.request) { edit(reply, change) } else { reply }
}

fn remove(page: &mut Value, key: &str) -> Option<Value> {
    page.as_object_mut()?.remove(key)
}

/// Sets an empty list, or what stands for it, if the page of a query has no rows.
fn set_empty_list(page: &mut Value, empty: Value) {
    if page["conversations"].is_null() {
        page["conversations"] = empty;
    }
}

fn no_total(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    edit_query(exchange, answer, |page| {
        set_empty_list(page, json!([]));
        remove(page, "totalHits");
    })
}

fn odd_totals(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    edit_query(exchange, answer, |page| {
        set_empty_list(page, json!([]));
        let totals = [json!(null), json!("many"), json!(-1), json!(12.5), json!("12"), json!(12.0)];
        page["totalHits"] = totals[exchange.nth as usize % totals.len()].clone();
    })
}

fn null_list(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    edit_query(exchange, answer, |page| {
        set_empty_list(page, Value::Null);
        remove(page, "totalHits");
    })
}

fn other_key(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    edit(reply, |page| {
        for list in LISTS {
            if let Some(rows) = remove(page, list) {
                page["items"] = rows;
                remove(page, "totalHits");
                remove(page, "total");
            }
        }
    })
}

fn error_in_200(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    edit_list(exchange, answer, |page| *page = json!({"error": "the service is busy"}))
}

/// The page number that a query asks for.
fn page_number(request: &Request<Bytes>) -> u64 {
    let query: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    query["paging"]["pageNumber"].as_u64().unwrap_or(1)
}

/// A query for another page.
fn with_page(request: &Request<Bytes>, page: u64) -> Request<Bytes> {
    let mut query: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    query["paging"]["pageNumber"] = page.into();
    let mut other = request.clone();
    *other.body_mut() = query.to_string().into();
    other
}

fn page_number_ignored(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_query(exchange.request) {
        return answer(&with_page(exchange.request, 1));
    }
    answer(exchange.request)
}

fn list_ignores_pages(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if !is_list(exchange.request) {
        return answer(exchange.request);
    }
    let uri = exchange.request.uri();
    let mut query = Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        query.append_pair(&name, if name == "pageNumber" { "1" } else { &value });
    }
    let mut first = exchange.request.clone();
    *first.uri_mut() =
        format!("{}?{}", uri.path(), query.finish()).parse().unwrap_or_else(|_| uri.clone());
    answer(&first)
}

fn last_again(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    let number = page_number(exchange.request);
    let page: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    if is_query(exchange.request) && number > 1 && page["conversations"].is_null() {
        return answer(&with_page(exchange.request, number - 1));
    }
    reply
}

fn row_deleted(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if exchange.nth != 2 || page_number(exchange.request) != 2 {
        return answer(exchange.request);
    }
    let after = answer(&with_page(exchange.request, 3));
    let after: Value = serde_json::from_slice(after.body()).unwrap_or_default();
    edit_query(exchange, answer, |page| {
        if let Some(rows) = page["conversations"].as_array_mut().filter(|rows| !rows.is_empty()) {
            rows.remove(0);
            rows.extend(after["conversations"].get(0).cloned());
        }
        page["totalHits"] = page["totalHits"].as_u64().unwrap_or(1).saturating_sub(1).into();
    })
}

fn total_keeps_falling(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    edit_query(exchange, answer, |page| {
        let fallen = page_number(exchange.request).min(20);
        page["totalHits"] = page["totalHits"].as_u64().unwrap_or(0).saturating_sub(fallen).into();
    })
}

fn link_header(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let mut next = None;
    let mut reply = edit_list(exchange, answer, |page| next = remove(page, "nextUri"));
    if let Some(Value::String(next)) = next {
        let links =
            format!("</first>; rel=\"first\"; title=\"a, <b>\", <{next}>; rel=\"next last\"");
        if let Ok(links) = HeaderValue::try_from(links) {
            reply.headers_mut().insert(LINK, links);
        }
    }
    reply
}

fn only_page_count(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    edit_list(exchange, answer, |page| {
        remove(page, "nextUri");
        remove(page, "total");
    })
}

fn no_next_uri(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    edit_list(exchange, answer, |page| {
        remove(page, "nextUri");
        remove(page, "total");
        remove(page, "pageCount");
    })
}

fn absolute_links(exchange: &Exchange<'_>, answer: Answer<'_>, origin: &str) -> Response<Bytes> {
    edit_list(exchange, answer, |page| {
        if let Some(next) = page["nextUri"].as_str() {
            page["nextUri"] = format!("{origin}{next}").into();
        }
    })
}

fn beyond_depth(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let query: Value = serde_json::from_slice(exchange.request.body()).unwrap_or_default();
    let hours = |text: &str| -> Option<i64> {
        let (from, to) = text.split_once('/')?;
        let [from, to]: [jiff::Timestamp; 2] = [from.parse().ok()?, to.parse().ok()?];
        Some((to.as_second() - from.as_second()) / 3_600)
    };
    let is_wide = query["interval"].as_str().and_then(hours).is_some_and(|hours| hours > 6);
    edit_query(exchange, answer, |page| {
        if is_wide {
            *page = json!({"totalHits": 120_000});
        }
    })
}

/// Changes the file of a data extraction.
fn file(
    exchange: &Exchange<'_>,
    answer: Answer<'_>,
    change: impl FnOnce(&str) -> String,
) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !exchange.request.uri().path().starts_with(cxone::FILES) {
        return reply;
    }
    reply.map(|body| change(&String::from_utf8_lossy(&body)).into())
}
