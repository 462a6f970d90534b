//! What servers do with asynchronous jobs, and with requests that are made once for each parent.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::sandbox::behaviors::{Answer, Behavior, BehaviorKind, Exchange, bare};

/// See the module.
pub(super) const ALL: &[Behavior] = &[
    Behavior {
        name: "job-cancelled",
        kind: BehaviorKind::Odd,
        effect: "every job is cancelled before it is done",
        apply: job_cancelled,
    },
    Behavior {
        name: "job-paused",
        kind: BehaviorKind::Odd,
        effect: "the first poll of a job finds it in a state that is documented nowhere",
        apply: job_paused,
    },
    Behavior {
        name: "job-without-address",
        kind: BehaviorKind::Odd,
        effect: "a done job has null where the address of its result should be",
        apply: job_without_address,
    },
    Behavior {
        name: "submit-forbidden",
        kind: BehaviorKind::Odd,
        effect: "every submission of a job is answered 403",
        apply: submit_forbidden,
    },
    Behavior {
        name: "submit-fails",
        kind: BehaviorKind::Odd,
        effect: "every submission of a job is answered 500",
        apply: submit_fails,
    },
    Behavior {
        name: "submit-reply-cut",
        kind: BehaviorKind::Odd,
        effect: "the reply to the first submission of a job is cut off before the id",
        apply: submit_reply_cut,
    },
    Behavior {
        name: "submit-forbidden-at-first",
        kind: BehaviorKind::Odd,
        effect: "the first two submissions of a job are answered 403, as if they came too fast",
        apply: submit_forbidden_at_first,
    },
    Behavior {
        name: "narrow-intervals",
        kind: BehaviorKind::Odd,
        effect: "a query or a job of more than six hours is answered 400, which says so",
        apply: narrow_intervals,
    },
    Behavior {
        name: "one-queue-forbidden",
        kind: BehaviorKind::Odd,
        effect: "the members of the queues whose ids begin with d are answered 403",
        apply: one_queue_forbidden,
    },
    Behavior {
        name: "one-queue-invalid",
        kind: BehaviorKind::Odd,
        effect: "the members of the queues whose ids begin with d are answered 400",
        apply: one_queue_invalid,
    },
    Behavior {
        name: "one-queue-fails",
        kind: BehaviorKind::Odd,
        effect: "the members of the queues whose ids begin with d are answered 500",
        apply: one_queue_fails,
    },
];

/// The path below which jobs are, and what follows it. `None` if the path is not that of a job.
fn job_path(request: &Request<Bytes>) -> Option<&str> {
    let (_, rest) = request.uri().path().split_once("/jobs")?;
    Some(rest)
}

fn is_submission(request: &Request<Bytes>) -> bool {
    request.method() == Method::POST && job_path(request) == Some("")
}

/// Whether a request is a poll: for the state of one job.
fn is_poll(request: &Request<Bytes>) -> bool {
    let id = job_path(request).and_then(|rest| rest.strip_prefix('/'));
    request.method() == Method::GET
        && id.is_some_and(|id| id != "availability" && !id.contains('/'))
}

/// Changes the JSON of a successful reply.
fn edited(reply: Response<Bytes>, edit: impl FnOnce(&mut Value)) -> Response<Bytes> {
    if !reply.status().is_success() {
        return reply;
    }
    reply.map(|body| match serde_json::from_slice(&body) {
        Ok(mut json) => {
            edit(&mut json);
            json.to_string().into()
        }
        Err(_) => body,
    })
}

fn job_cancelled(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_poll(exchange.request) {
        return reply;
    }
    edited(reply, |status| status["state"] = json!("CANCELLED"))
}

fn job_paused(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_poll(exchange.request) || exchange.nth > 1 {
        return reply;
    }
    edited(reply, |status| status["state"] = json!("PAUSED"))
}

fn job_without_address(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if !is_poll(exchange.request) {
        return reply;
    }
    edited(reply, |status| status["downloadUrl"] = Value::Null)
}

fn submit_forbidden(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_submission(exchange.request) {
        return bare(StatusCode::FORBIDDEN);
    }
    answer(exchange.request)
}

fn submit_forbidden_at_first(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_submission(exchange.request) && exchange.nth <= 2 {
        return bare(StatusCode::FORBIDDEN);
    }
    answer(exchange.request)
}

fn submit_fails(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    if is_submission(exchange.request) {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    }
    answer(exchange.request)
}

fn submit_reply_cut(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    let reply = answer(exchange.request);
    if is_submission(exchange.request) && exchange.nth == 1 {
        return reply.map(|body| body.slice(..body.len().min(5)));
    }
    reply
}

fn narrow_intervals(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    const SIX_HOURS_MS: i64 = 6 * 60 * 60 * 1_000;
    let body: Value = serde_json::from_slice(exchange.request.body()).unwrap_or_default();
    let interval = body["interval"].as_str().and_then(|interval| interval.split_once('/'));
    let width = interval.and_then(|(from, to)| {
        let [from, to]: [jiff::Timestamp; 2] = [from.parse().ok()?, to.parse().ok()?];
        Some(to.as_millisecond() - from.as_millisecond())
    });
    if width.is_none_or(|width| width <= SIX_HOURS_MS) {
        return answer(exchange.request);
    }
    let message = "The interval may not exceed 6 hours.";
    let error = json!({"message": message, "code": "bad.request", "status": 400});
    bare(StatusCode::BAD_REQUEST).map(|_| error.to_string().into())
}

fn one_queue_forbidden(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    one_queue(exchange, answer, StatusCode::FORBIDDEN)
}

fn one_queue_invalid(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    one_queue(exchange, answer, StatusCode::BAD_REQUEST)
}

fn one_queue_fails(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    one_queue(exchange, answer, StatusCode::INTERNAL_SERVER_ERROR)
}

/// Answers requests for the members of a few queues with a status.
fn one_queue(exchange: &Exchange<'_>, answer: Answer<'_>, status: StatusCode) -> Response<Bytes> {
    let queue = exchange.request.uri().path().strip_prefix("/api/v2/routing/queues/");
    if queue.is_some_and(|rest| rest.starts_with('d') && rest.ends_with("/members")) {
        return bare(status);
    }
    answer(exchange.request)
}
