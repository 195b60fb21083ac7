//! Text for people: lines, tables, tones. Colour codes are always written here and taken out again on the way to a terminal
//! that does not want them (`NO_COLOR`, a pipe, a file).

use core::fmt;

use anstyle::{AnsiColor, Style};

/// How something is meant. Never the only sign of it: the words say the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tone {
    /// Wrong.
    Bad,
    /// Beside the point.
    Faint,
    /// As it should be.
    Good,
    /// A heading, or what to look at.
    Strong,
    /// Needs attention.
    Warn,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Strong => Style::new().bold(),
            Self::Warn => AnsiColor::Yellow.on_default(),
        }
    }

    /// The text in this tone.
    #[must_use]
    pub fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// Text under construction.
#[derive(Debug, Default)]
pub struct Text(String);

/// Between two columns.
const GAP: usize = 2;

impl Text {
    /// A line.
    pub fn line(&mut self, line: impl fmt::Display) {
        self.0.push_str(line.to_string().trim_end());
        self.0.push('\n');
    }

    /// A heading, with an empty line before it unless it is the first.
    pub fn heading(&mut self, heading: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(Tone::Strong.paint(heading));
    }

    /// Columns under a header, each as wide as its widest cell; a column that is empty in every row is left out.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        let shown: Vec<usize> = (0..header.len())
            .filter(|column| rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty())))
            .collect();
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let widths: Vec<usize> = shown
            .iter()
            .map(|column| {
                let head = header.get(*column).map_or(0, |head| head.chars().count());
                rows.iter().map(|row| width(&cell(row, *column))).chain([head]).max().unwrap_or_default()
            })
            .collect();
        let mut line = |cells: Vec<String>| {
            let mut text = String::new();
            for (cell, width_of_column) in cells.iter().zip(&widths) {
                text.push_str(cell);
                text.push_str(&" ".repeat(width_of_column.saturating_sub(width(cell)) + GAP));
            }
            self.line(text);
        };
        line(shown.iter().filter_map(|column| header.get(*column)).map(|head| Tone::Strong.paint(head)).collect());
        for row in rows {
            line(shown.iter().map(|column| cell(row, *column)).collect());
        }
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

/// Characters without colour codes.
fn width(cell: &str) -> usize {
    anstream::adapter::strip_str(cell).to_string().chars().count()
}

/// `1 call`, `2 calls`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colour_and_empty_ones_vanish() {
        let mut text = Text::default();
        let row = |a: &str, b: &str, c: &str| vec![a.to_owned(), b.to_owned(), c.to_owned()];
        text.table(&["SET", "NOTE", "PHASE"], &[row("orders", "", &Tone::Good.paint("idle")), row("b", "", "commit")]);
        let text = text.finish();
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "SET     PHASE  \norders  idle    \nb       commit\n".replace("  \n", "\n").replace("idle  ", "idle")
        );
    }
}
