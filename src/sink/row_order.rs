//! Whether the rows of a file came in order of time.

/// Whether rows came in order of time, to the microsecond.
#[derive(Debug, Clone)]
pub(super) struct RowOrder {
    last_us: i64,
    is_ascending: bool,
}

impl Default for RowOrder {
    fn default() -> Self {
        Self { last_us: i64::MIN, is_ascending: true }
    }
}

impl RowOrder {
    /// The order before rows of which it is known whether they come in order of time.
    pub(super) fn known(is_ascending: bool) -> Self {
        Self { is_ascending, ..Self::default() }
    }

    /// Adds the times of rows, in microseconds since 1970.
    pub(super) fn add(&mut self, times_us: &[i64]) {
        for &time_us in times_us {
            self.is_ascending &= time_us >= self.last_us;
            self.last_us = time_us;
        }
    }

    pub(super) fn is_ascending(&self) -> bool {
        self.is_ascending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_millisecond_are_ordered_by_their_microseconds() {
        let is_ascending = |pages: &[&[i64]]| {
            let mut order = RowOrder::default();
            for page in pages {
                order.add(page);
            }
            order.is_ascending()
        };
        assert!(is_ascending(&[&[], &[-1_001, -1_000], &[1_000, 1_001], &[1_001, 1_999]]));
        assert!(!is_ascending(&[&[1_000, 1_002, 1_001]]));
        assert!(!is_ascending(&[&[1_000, 1_002], &[1_001, 2_000]]), "of two pages");
        assert!(!is_ascending(&[&[-1_000, -1_001]]));
    }
}
