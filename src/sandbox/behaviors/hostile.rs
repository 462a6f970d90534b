//! Replies that attack their client.

use crate::sandbox::behaviors::Behavior;

/// See the module.
pub(super) const ALL: &[Behavior] = &[];
