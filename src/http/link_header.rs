//! The header `Link` (RFC 8288): where the next page is.

use http::{HeaderMap, header::LINK};

/// The target of the first link whose relation is `next`. `None` if there is none.
pub fn next_link(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(LINK).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(links).find(|link| link.is_next()).map(|link| link.target.to_owned())
}

/// One link of a header.
struct Link<'a> {
    target: &'a str,
    /// Its parameters, each with its value as it is written. Empty if there is none.
    params: Vec<(&'a str, &'a str)>,
}

impl Link<'_> {
    /// Whether it leads from this page to the next. Only the first relation counts, and a link with
    /// an anchor leads from another page.
    fn is_next(&self) -> bool {
        let value = |name: &str| {
            self.params
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| *value)
        };
        let relation = value("rel").unwrap_or_default().trim_matches('"');
        let is_next = relation.split_whitespace().any(|name| name.eq_ignore_ascii_case("next"));
        is_next && value("anchor").is_none()
    }
}

/// The links of one header. What is not a link is left out.
fn links(header: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    for part in split(header, ',') {
        let Some((target, params)) =
            part.trim().strip_prefix('<').and_then(|part| part.split_once('>'))
        else {
            continue;
        };
        let params = split(params, ';').into_iter().map(|param| {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            (name.trim(), value.trim())
        });
        links.push(Link { target: target.trim(), params: params.collect() });
    }
    links
}

/// The parts of a text between separators that stand neither in a target nor in a quoted text.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut in_target, mut in_quotes, mut is_escaped) = (false, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if in_quotes => is_escaped = true,
            '"' if !in_target => in_quotes = !in_quotes,
            '<' if !in_quotes => in_target = true,
            '>' if !in_quotes => in_target = false,
            _ if character == separator && !in_target && !in_quotes => {
                parts.push(&text[start..at]);
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next(headers: &[&str]) -> Option<String> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(LINK, HeaderValue::from_str(header).unwrap());
        }
        next_link(&map)
    }

    #[test]
    fn the_next_page_is_found_among_several_links_and_quoted_parameters() {
        for headers in [
            &["</rows?page=2>; rel=\"next\""][..],
            &["</rows?page=2>; rel=next"],
            &["</rows?page=2>;rel=\"last NEXT\";title=\"x\""],
            &[
                "</rows?page=1>; rel=\"prev\", </rows?page=2>; rel=\"next\", </rows?page=9>; rel=\"last\"",
            ],
            &["</rows?page=9>; rel=\"last\"", "</rows?page=2> ; REL = \"next\""],
            &["</a>; title=\"x, <y>; rel=next \\\" \"; rel=\"up\", </rows?page=2>; rel=\"next\""],
            &["</other>; rel=\"next\"; anchor=\"/else\", </rows?page=2>; rel=\"next\""],
        ] {
            assert_eq!(next(headers).as_deref(), Some("/rows?page=2"), "{headers:?}");
        }
        let commas = "<https://api.example/rows?ids=1,2;3>; rel=\"next\"";
        assert_eq!(next(&[commas]).as_deref(), Some("https://api.example/rows?ids=1,2;3"));
    }

    #[test]
    fn a_header_without_a_next_page_has_none() {
        for header in [
            "",
            "</rows?page=1>; rel=\"prev\"",
            "</rows?page=2>; rel=\"nextpage\"",
            "</rows?page=2>; title=\"rel=next\"",
            "</rows?page=2>; rel=\"prev\"; rel=\"next\"",
            "/rows?page=2; rel=next",
            "</rows?page=2; rel=next",
        ] {
            assert_eq!(next(&[header]), None, "{header}");
        }
        assert_eq!(next(&[]), None);
    }

    #[test]
    fn any_text_can_be_a_link_header() {
        let mut rng = fastrand::Rng::with_seed(12);
        let pieces = ["<", ">", ",", ";", "\"", "\\", "rel=next", "rel", "=", "/a?b=1", " ", "é"];
        for _ in 0..20_000 {
            let text: String =
                (0..rng.usize(0..12)).map(|_| *rng.choice(&pieces).unwrap()).collect();
            for link in links(&text) {
                assert!(text.contains(link.target), "{text}");
            }
        }
    }
}
