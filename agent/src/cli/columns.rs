//! Formats text in columns.

use std::borrow::Cow;

use crate::quote::shown;

/// Formats `rows` as lines. Each column but a row's last is padded to its widest cell and followed by two blanks. The
/// whole is trimmed, so that the last line loses its padding (`columnize.SimpleFormat`).
///
/// Cells come from other members: characters that act on a terminal are escaped, so that no member can forge a row.
/// Widths count characters, not terminal columns.
pub(super) fn columnize(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let Some((last, others)) = row.split_last() else { continue };
        for (cell, width) in others.iter().zip(&widths) {
            out.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(last);
        out.push('\n');
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_line_is_trimmed() {
        let row = |cells: [&str; 3]| cells.map(String::from).to_vec();
        let rows =
            [row(["n2", "failed", "role=db"]), row(["\u{fc}\u{fc}\u{fc}", "alive", ""]), row(["a|b", "left", ""])];
        assert_eq!(columnize(&rows), "n2   failed  role=db\n\u{fc}\u{fc}\u{fc}  alive   \na|b  left");
        assert_eq!(columnize(&[]), "");
        let rows = [row(["z\nroot", "10.0.0.1:22", "alive\x1b[31m"]), row(["n2", "left", ""])];
        assert_eq!(columnize(&rows), "z\\nroot  10.0.0.1:22  alive\\x1b[31m\nn2       left");
    }
}
