//! The known name that a mistyped one most likely means.

/// From this similarity on, of at most 1, a name is taken for a mistyped one.
const SIMILAR: f64 = 0.75;

/// The question whether the most similar of the known names is meant, as the end of an error about
/// an unknown one: "; did you mean `x`?". Empty if none is similar.
pub(crate) fn suggestion<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let similar = known.into_iter().map(|known| (strsim::jaro(name, known), known));
    let nearest = similar.max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((similarity, known)) if similarity >= SIMILAR => {
            format!("; did you mean `{known}`?")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_recognized_and_another_one_is_not() {
        let known = ["conversations", "queues", "users"];
        assert_eq!(suggestion("conversatons", known), "; did you mean `conversations`?");
        assert_eq!(suggestion("weather", known), "");
        assert_eq!(suggestion("queues", []), "");
    }
}
