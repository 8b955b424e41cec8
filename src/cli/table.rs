//! Columns of equal width.

use std::io::{self, Write};

/// How a column's cells stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under one heading; a row may be shorter than the heading.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; a heading of empty names is not printed.
    #[must_use]
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let named = names.iter().any(|name| !name.is_empty());
        Self {
            columns: columns.iter().map(|&(_, align)| align).collect(),
            rows: named.then_some(names).into_iter().collect(),
        }
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Prints the rows, each line behind `indent` spaces.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, indent: usize, out: &mut dyn Write) -> io::Result<()> {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for ((cell, &width), align) in row.iter().zip(&widths).zip(&self.columns) {
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                    Align::Right => line.push_str(&format!("{cell:>width$}  ")),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(table: &Table) -> String {
        let mut out = Vec::new();
        table.print(1, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_right_words_left_and_no_line_ends_in_spaces() {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("N", Align::Right),
            ("", Align::Left),
        ]);
        table.row(["a", "10", "x"]);
        table.row(["longer", "7"]);
        assert_eq!(
            printed(&table),
            " NAME     N\n a       10  x\n longer   7\n"
        );
    }

    #[test]
    fn a_heading_without_names_is_not_printed() {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Right)]);
        table.row(["a", "1"]);
        assert_eq!(printed(&table), " a  1\n");
    }
}
