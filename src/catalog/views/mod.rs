//! The usual questions about the tables of built-in datasets: data, as the datasets are.
//!
//! A block of a file of questions begins with `-- view NAME: NEEDS`, where the needs are columns of
//! tables, separated by commas. A comment and the query follow. The query is one that all dialects
//! understand; `{sessions}` stands for the view of a table, `{half hour of TIME}` and
//! `{seconds from TIME to TIME}` for what dialects write differently.

/// A question, as a file of questions has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// The name of the view.
    pub name: &'static str,
    /// The columns of tables that it reads, such as `sessions.ani`, separated by commas.
    pub needs: &'static str,
    /// The question, as a comment of SQL.
    pub comment: &'static str,
    /// The query.
    pub query: &'static str,
}

/// The questions about the datasets of a platform. Empty if the platform has none.
pub(crate) fn questions(platform: &str) -> Vec<View> {
    match platform {
        "genesys-cloud" => read(include_str!("genesys-cloud.sql")),
        "nice-cxone" => read(include_str!("nice-cxone.sql")),
        _ => Vec::new(),
    }
}

fn read(file: &'static str) -> Vec<View> {
    let blocks = file.split("\n-- view ").skip(1);
    let view = |block: &'static str| {
        let (head, rest) = block.split_once('\n')?;
        let (name, needs) = head.split_once(": ")?;
        let (comment, query) = rest.split_once('\n')?;
        Some(View { name, needs, comment, query: query.trim_end() })
    };
    blocks.filter_map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::PLATFORMS;

    #[test]
    fn every_platform_has_the_ten_questions_with_a_comment_each() {
        for platform in PLATFORMS {
            let questions = questions(platform);
            assert_eq!(questions.len(), 10, "{platform}");
            for View { name, needs, comment, query } in questions {
                assert!(comment.starts_with("-- ") && comment.ends_with('?'), "{name}: {comment}");
                assert!(query.starts_with("SELECT ") || query.starts_with("WITH "), "{name}");
                assert!(!query.contains(';'), "{name} is one statement");
                let is_read = |need: &str| {
                    let (table, column) = need.split_once('.').expect(name);
                    query.contains(&format!("{{{table}}}")) && query.contains(column)
                };
                assert!(needs.split(", ").all(is_read), "{name} does not read all of {needs}");
            }
        }
    }
}
