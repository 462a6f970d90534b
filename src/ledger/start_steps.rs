//! Steps that a run has to do once before it starts, after a migration of the ledger.

use crate::ledger::{Ledger, LedgerError, schema::MOVE_UNRECORDED_FILES};

impl Ledger {
    /// Whether the next run moves the files without a record to `_orphaned/`.
    pub(crate) fn must_move_unrecorded_files(&self) -> Result<bool, LedgerError> {
        let sql = "SELECT COUNT(*) FROM start_step WHERE name = ?1";
        Ok(self.lock().query_row(sql, [MOVE_UNRECORDED_FILES], |row| row.get::<_, u32>(0))? > 0)
    }

    /// Records that the files without a record were moved.
    pub(crate) fn moved_unrecorded_files(&self) -> Result<(), LedgerError> {
        let sql = "DELETE FROM start_step WHERE name = ?1";
        self.execute(sql, [MOVE_UNRECORDED_FILES])?;
        Ok(())
    }
}
