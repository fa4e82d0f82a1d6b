//! Statements for any number of rows. They come in sizes of one, two, four, eight… so that a database plans few of them.

use std::fmt::Write as _;

/// Returns `$1, $2, …` as `rows` tuples of `columns`.
pub(crate) fn tuples(rows: usize, columns: usize) -> String {
    let mut text = String::new();
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            let separator = if column == 1 { "" } else { ", " };
            write!(text, "{separator}${}", row * columns + column).unwrap_or_default();
        }
        text.push(')');
    }
    text
}

/// Returns `$1, $2, …`.
pub(crate) fn list(count: usize) -> String {
    let mut text = String::new();
    for number in 1..=count {
        let separator = if number == 1 { "" } else { ", " };
        write!(text, "{separator}${number}").unwrap_or_default();
    }
    text
}

/// Most rows of one statement: eight columns of them stay below every database's bound of parameters.
const MOST_ROWS: usize = 256;

/// Divides `rows` into runs whose lengths are powers of two.
pub(crate) fn runs<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = (1 << rows.len().checked_ilog2()?).min(MOST_ROWS);
        let (run, rest) = rows.split_at_checked(length)?;
        rows = rest;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_powers_of_two() {
        let rows: Vec<usize> = (0..300).collect();
        let lengths: Vec<usize> = runs(&rows).map(<[usize]>::len).collect();
        assert_eq!(lengths, [256, 32, 8, 4]);
        assert_eq!(runs(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        assert_eq!(runs::<u8>(&[]).count(), 0);
    }

    #[test]
    fn parameters_are_numbered_through() {
        assert_eq!(tuples(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(list(3), "$1, $2, $3");
    }
}
