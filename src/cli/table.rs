//! Text tables: the one place that aligns columns.

use std::fmt;

/// Spaces between two columns.
const SEPARATOR: &str = "  ";

/// The side of a column that its cells are aligned to, and the least width of the column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Left(usize),
    Right(usize),
}

/// Rows of cells. A column is as wide as its widest cell, but not narrower than its least width, so
/// that several tables below each other look alike.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), indent: 0 }
    }

    /// Puts `spaces` in front of every row.
    pub(super) fn indented(self, spaces: usize) -> Self {
        Self { indent: spaces, ..self }
    }

    /// Adds a row of at most as many cells as there are columns.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(str::to_owned).to_vec());
    }

    fn width(&self, number: usize, column: Column) -> usize {
        let (Column::Left(least) | Column::Right(least)) = column;
        let cells = self.rows.iter().filter_map(|row| row.get(number));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default().max(least)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<_> = (self.columns.iter().enumerate())
            .map(|(number, column)| self.width(number, *column))
            .collect();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (number, cell) in row.iter().enumerate() {
                let width = widths.get(number).copied().unwrap_or_default();
                if number > 0 {
                    line.push_str(SEPARATOR);
                }
                line.push_str(&match self.columns.get(number) {
                    Some(Column::Right(_)) => format!("{cell:>width$}"),
                    _ => format!("{cell:<width$}"),
                });
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_and_not_narrower_than_its_least_width() {
        let mut table = Table::new(&[Column::Left(3), Column::Right(3), Column::Left(0)]);
        table.row(["a", "1", ""]);
        table.row(["größer", "12", "x"]);
        assert_eq!(table.to_string(), "a         1\ngrößer   12  x\n");
        assert!(table.indented(2).to_string().starts_with("  a "));
    }
}
