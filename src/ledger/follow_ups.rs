//! Committed shards with open rows, which are fetched again until the rows are closed.
#![allow(dead_code)] // the planning of follow-ups will use these

use rusqlite::params;

use crate::{
    ledger::{Ledger, LedgerError},
    time::interval::Interval,
};

/// When to fetch a shard with open rows again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FollowUp {
    /// Name of the dataset.
    pub dataset: String,
    pub interval: Interval,
    /// How often it was fetched again so far.
    pub attempts: u32,
    /// Milliseconds since 1970: not to be fetched again before.
    pub next_ms: i64,
}

impl Ledger {
    /// Records when to fetch a shard again, in place of what was recorded before.
    pub(crate) fn set_follow_up(&self, follow_up: &FollowUp) -> Result<(), LedgerError> {
        let FollowUp { dataset, interval, attempts, next_ms } = follow_up;
        self.lock().execute(
            "INSERT OR REPLACE INTO follow (dataset, from_ms, to_ms, asked, next_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![dataset, interval.from_ms(), interval.to_ms(), attempts, next_ms],
        )?;
        Ok(())
    }

    /// Records that a shard is not to be fetched again.
    pub(crate) fn delete_follow_up(
        &self,
        dataset: &str,
        interval: Interval,
    ) -> Result<(), LedgerError> {
        let sql = "DELETE FROM follow WHERE dataset = ?1 AND from_ms = ?2";
        self.lock().execute(sql, params![dataset, interval.from_ms()])?;
        Ok(())
    }

    /// The shards of a dataset that are to be fetched again, in order.
    pub(crate) fn follow_ups(&self, dataset: &str) -> Result<Vec<FollowUp>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT from_ms, to_ms, asked, next_ms FROM follow WHERE dataset = ?1 ORDER BY from_ms",
        )?;
        let mut rows = query.query([dataset])?;
        let mut follow_ups = Vec::new();
        while let Some(row) = rows.next()? {
            if let Some(interval) = Interval::new(row.get(0)?, row.get(1)?) {
                let (attempts, next_ms) = (row.get(2)?, row.get(3)?);
                let dataset = dataset.to_owned();
                follow_ups.push(FollowUp { dataset, interval, attempts, next_ms });
            }
        }
        Ok(follow_ups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follow_up_is_replaced_and_deleted() {
        let ledger = Ledger::in_memory().unwrap();
        let interval = Interval::new(1, 2).unwrap();
        let follow_up =
            |attempts| FollowUp { dataset: "d".into(), interval, attempts, next_ms: 10 };
        ledger.set_follow_up(&follow_up(0)).unwrap();
        ledger.set_follow_up(&follow_up(1)).unwrap();
        assert_eq!(ledger.follow_ups("d").unwrap(), [follow_up(1)]);
        ledger.delete_follow_up("d", interval).unwrap();
        assert_eq!(ledger.follow_ups("d").unwrap(), []);
    }
}
