//! The paths of columns that are most similar to one that does not exist.

use arrow::datatypes::{DataType, Fields, Schema};

/// How many paths are named.
const NAMED: usize = 3;
/// The part of a text that is compared, in characters.
const COMPARED: usize = 100;

/// The paths of the columns that are most similar to `text`, the nearest first.
pub(super) fn paths(text: &str, schema: &Schema) -> Vec<String> {
    let mut all = Vec::new();
    add(schema.fields(), "", &mut all);
    let mut by_distance: Vec<_> =
        all.into_iter().map(|path| (difference(text, &path), path.len(), path)).collect();
    by_distance.sort();
    by_distance.into_iter().take(NAMED).map(|(_, _, path)| format!("`{path}`")).collect()
}

/// Adds the paths of columns that stand below `outer`. Elements of lists have the index 0.
fn add(fields: &Fields, outer: &str, paths: &mut Vec<String>) {
    for field in fields {
        let mut path = match outer {
            "" => field.name().clone(),
            outer => format!("{outer}.{}", field.name()),
        };
        paths.push(path.clone());
        let mut data_type = field.data_type();
        while let DataType::List(element) = data_type {
            path.push_str("[0]");
            data_type = element.data_type();
        }
        if let DataType::Struct(fields) = data_type {
            add(fields, &path, paths);
        }
    }
}

/// How different two paths are: as a whole, or in their last names, which people remember.
fn difference(text: &str, path: &str) -> usize {
    let last = |path: &str| path.rsplit(['.', ']']).next().unwrap_or_default().to_owned();
    distance(text, path).min(distance(&last(text), &last(path)))
}

/// The number of characters to insert, delete or replace that turns one text into the other,
/// whatever their case (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let letters = |text: &str| text.to_lowercase().chars().take(COMPARED).collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut diagonal = above[0];
        above[0] = row + 1;
        for (column, against) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != against);
            diagonal = above[column + 1];
            above[column + 1] = replaced.min(diagonal + 1).min(above[column] + 1);
        }
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_number_of_changed_characters() {
        for (one, other, expected) in
            [("", "", 0), ("ani", "ANI", 0), ("ani", "dnis", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
