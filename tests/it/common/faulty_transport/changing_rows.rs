//! Rows that change between two pages: shifted, deleted, undecodable, or of before a change.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use super::{FaultyTransport, state::key};
use crate::common::pages::{Page, make_older, make_undecodable};

impl FaultyTransport {
    /// Shifts rows: from some page of an interval on, pages repeat rows of earlier pages, as if
    /// rows were inserted before them. The first copies are older ones.
    pub(super) fn shift(
        &self,
        query: &Value,
        request: &Request<Bytes>,
        reply: &mut Response<Bytes>,
    ) {
        let Some(number) = query["paging"]["pageNumber"].as_u64() else { return };
        let size = key(query).1;
        let shift = {
            let mut inner = self.inner();
            let (fault_rate, at) = (self.fault_rate, inner.rng.u64(2..5));
            // shifted by a whole page, it would be that page again
            let by = inner.rng.usize(1..size.max(2));
            let is_shifted = size > 1 && inner.rng.f64() < fault_rate;
            *inner.shifts.entry(key(query)).or_insert(if is_shifted {
                (at, by)
            } else {
                (u64::MAX, 0)
            })
        };
        let (at, by) = shift;
        let mut page = Page::read(reply.body());
        if number + 1 == at && self.changes {
            page.conversations.iter_mut().skip(size - by).for_each(make_older);
        } else if number >= at {
            let mut before = query.clone();
            before["paging"]["pageNumber"] = json!(number - 1);
            let (parts, _) = request.clone().into_parts();
            let earlier =
                self.neighbours.reply(Request::from_parts(parts, before.to_string().into()));
            let mut rows: Vec<_> =
                Page::read(earlier.body()).conversations.into_iter().skip(size - by).collect();
            rows.extend(page.conversations.into_iter().take(size - by));
            page.conversations = rows;
        }
        *reply.body_mut() = page.bytes();
        self.age(reply);
    }

    /// Deletes a row between two pages, so that the total falls by one, and the first row of each
    /// later page moves to the page before, which was received already.
    pub(super) fn delete(
        &self,
        query: &Value,
        request: &Request<Bytes>,
        reply: &mut Response<Bytes>,
    ) {
        let Some(number) = query["paging"]["pageNumber"].as_u64() else { return };
        if !self.inner().is_deleted(&key(query), number, self.fault_rate) {
            return;
        }
        let mut after = query.clone();
        after["paging"]["pageNumber"] = json!(number + 1);
        let (parts, _) = request.clone().into_parts();
        let later = self.neighbours.reply(Request::from_parts(parts, after.to_string().into()));
        let mut page = Page::read(reply.body());
        if !page.conversations.is_empty() {
            page.conversations.remove(0);
            page.conversations.extend(Page::read(later.body()).conversations.into_iter().take(1));
        }
        page.total_hits = page.total_hits.map(|total| total.saturating_sub(1));
        *reply.body_mut() = page.bytes();
        self.age(reply);
    }

    /// Makes some rows undecodable, until the faults are cleared.
    pub(super) fn corrupt(&self, reply: &mut Response<Bytes>) {
        let Some(digit) = self.undecodable.filter(|_| !self.inner().is_decodable) else { return };
        let mut page = Page::read(reply.body());
        for row in &mut page.conversations {
            make_undecodable(row, digit);
        }
        *reply.body_mut() = page.bytes();
    }

    /// Replaces rows by their copies from before the change, if they have not changed yet.
    pub(super) fn age(&self, reply: &mut Response<Bytes>) {
        if self.inner().before_change {
            let mut page = Page::read(reply.body());
            page.conversations.iter_mut().for_each(make_older);
            *reply.body_mut() = page.bytes();
        }
    }
}
