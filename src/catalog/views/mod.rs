//! SQL views over the files of built-in datasets: data, as the datasets are.
//!
//! A block of a file of views begins with `-- view NAME: NEEDS`, where the needs are datasets or
//! columns of them by path, separated by commas. Comments, and the query, in which `{dataset}`
//! stands for the files of a dataset, follow.

/// A view, as a file of views has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// Its name.
    pub name: &'static str,
    /// The datasets that it reads, and the columns that they must have, by their paths.
    pub needs: &'static str,
    /// A sentence about it, as a comment of SQL, and its query.
    pub query: &'static str,
}

/// The views of a platform in DuckDB's dialect, each after those that it reads. Empty if the
/// platform has none.
pub(crate) fn duckdb(platform: &str) -> Vec<View> {
    match platform {
        "genesys-cloud" => read(include_str!("genesys-cloud.duckdb.sql")),
        _ => Vec::new(),
    }
}

fn read(file: &'static str) -> Vec<View> {
    let blocks = file.split("\n-- view ").skip(1);
    let view = |block: &'static str| {
        let (head, query) = block.split_once('\n')?;
        let (name, needs) = head.split_once(": ")?;
        Some(View { name, needs, query: query.trim_end() })
    };
    blocks.filter_map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn every_view_has_a_comment_and_reads_datasets_that_it_says_it_needs() {
        let views = duckdb("genesys-cloud");
        let file = include_str!("genesys-cloud.duckdb.sql");
        assert_eq!(views.len(), file.matches("\n-- view ").count());
        assert_eq!(views.len(), 6 + 10, "the tables and the ten questions");
        let known = &catalog::builtin("genesys-cloud").unwrap().datasets;
        for View { name, needs, query } in views {
            assert!(query.starts_with("-- "), "{name}");
            let named: Vec<_> =
                needs.split(", ").filter_map(|need| need.split('.').next()).collect();
            assert!(named.iter().all(|dataset| known.contains_key(*dataset)), "{name}: {needs}");
            for placeholder in query.split('{').skip(1) {
                let dataset = placeholder.split('}').next().unwrap();
                assert!(named.contains(&dataset), "{name} reads {dataset}");
            }
        }
    }
}
