//! Pages that mean something else than they seem to, or say it in another form.

use bytes::Bytes;
use http::Response;

use crate::sandbox::behaviors::{Answer, Behavior, BehaviorKind, Exchange};

/// See the module.
pub(super) const ALL: &[Behavior] = &[Behavior {
    name: "byte-order-mark",
    kind: BehaviorKind::Odd,
    effect: "every body begins with a byte order mark",
    apply: byte_order_mark,
}];

fn byte_order_mark(exchange: &Exchange<'_>, answer: Answer<'_>) -> Response<Bytes> {
    answer(exchange.request).map(|body| [b"\xEF\xBB\xBF", &body[..]].concat().into())
}
