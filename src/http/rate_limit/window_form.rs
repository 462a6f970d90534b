//! Whether the server's window is fixed or slides, as far as its headers prove it.
//!
//! A fixed window is full until it ends, and its headers say when. A sliding window holds the
//! requests of the last `per` at any instant: it ends when its oldest request leaves it, again and
//! again, so nothing but a margin in time keeps requests from arriving too early.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::http::rate_limit::server_window::{Placement, ServerWindow};

/// This many responses in a row must contradict a fixed window before the window is taken to slide.
const CONTRADICTIONS: u32 = 3;
/// The last responses whose times are kept: more than are in flight where a limit is small.
const RESPONSES_KEPT: usize = 16;

/// What the responses so far prove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Unknown,
    Fixed,
    Sliding,
}

/// The form of the server's window, and the evidence that is not complete yet.
#[derive(Debug, Clone, Default)]
pub(super) struct WindowForm {
    form: Form,
    /// When the requests of the last responses were sent, and when they were answered.
    last: VecDeque<(Instant, Instant)>,
    /// The range of the end that the first of the contradictions in a row said, and their number.
    contradictions: Option<((Instant, Instant), u32)>,
}

impl WindowForm {
    /// Whether the window is known to be fixed.
    pub(super) fn is_fixed(&self) -> bool {
        self.form == Form::Fixed
    }

    /// Whether the window is known to slide.
    pub(super) fn slides(&self) -> bool {
        self.form == Form::Sliding
    }

    /// Learns from the window that a response reports, and from how it relates to the known one.
    /// Its request was sent at `sent`, it arrived at `now`.
    pub(super) fn learn(
        &mut self,
        reported: &ServerWindow,
        placement: Placement,
        per: Duration,
        (sent, now): (Instant, Instant),
    ) {
        if self.has_restarted(reported, per, (sent, now)) {
            self.form = Form::Fixed;
            self.contradictions = None;
        } else if self.has_moved_twice(reported, placement, per) {
            self.form = Form::Sliding;
        }
        if self.last.len() == RESPONSES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back((sent, now));
    }

    /// Whether this request is the first of its window, although one before it was sent less than
    /// `per` ago: a sliding window would have counted both.
    fn has_restarted(
        &self,
        reported: &ServerWindow,
        per: Duration,
        (sent, now): (Instant, Instant),
    ) -> bool {
        let is_in_same =
            |&(earlier, answered): &(Instant, Instant)| answered <= sent && now < earlier + per;
        reported.is_first() && self.last.iter().any(is_in_same)
    }

    /// Whether the end has moved on from the known one and then once more within `per`. A fixed
    /// window that was counted anew, as by a restart of the server, moves once.
    fn has_moved_twice(
        &mut self,
        reported: &ServerWindow,
        placement: Placement,
        per: Duration,
    ) -> bool {
        match placement {
            Placement::Contradicts => {}
            Placement::Next => {
                self.contradictions = None;
                return false;
            }
            Placement::Same | Placement::Earlier => return false,
        }
        let (earliest, latest) = reported.end();
        let (first, times) = self.contradictions.unwrap_or(((earliest, latest), 0));
        self.contradictions = Some((first, times + 1));
        let has_moved_on = earliest > first.1 && earliest < first.0 + per;
        times + 1 >= CONTRADICTIONS && has_moved_on
    }
}
