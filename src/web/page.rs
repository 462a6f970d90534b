//! The page as one HTML text: structure, style and script of `page/`, and data.
//!
//! A browser may run no script and load no style but these, by a policy with their digests, and may
//! ask no other host. Data stand in it as JSON in which no `<` can end their element.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");

/// The parts of the script in their order.
const SCRIPTS: [&str; 8] = [
    include_str!("page/base.js"),
    include_str!("page/band.js"),
    include_str!("page/calendar.js"),
    include_str!("page/timeline.js"),
    include_str!("page/figures.js"),
    include_str!("page/words.js"),
    include_str!("page/history.js"),
    include_str!("page/main.js"),
];

static SCRIPT: LazyLock<String> =
    LazyLock::new(|| format!("(() => {{\n\"use strict\";\n{}}})();\n", SCRIPTS.concat()));

/// The policy of the page: only its own style and script, and data from where it came from.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(&SCRIPT),
        hash(STYLE)
    )
});

/// The page with its data: what `start` of `page/main.js` reads.
pub(super) fn html(data: &Value) -> String {
    // only a `<` could begin a tag that ends the element; in JSON it occurs in strings alone
    let data = data.to_string().replace('<', "\\u003c");
    let policy = POLICY.as_str();
    let parts = [
        (
            "<!--policy-->",
            format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"),
        ),
        ("<!--style-->", format!("<style>{STYLE}</style>")),
        ("<!--data-->", format!("<script type=\"application/json\" id=\"page\">{data}</script>")),
        ("<!--script-->", format!("<script>{}</script>", *SCRIPT)),
    ];
    let (mut html, mut rest) = (String::new(), HTML);
    for (mark, part) in parts {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        html.push_str(before);
        html.push_str(&part);
        rest = after;
    }
    html + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_cannot_leave_their_element() {
        let hostile = "</script><!--<script>alert(1)</script>\u{2028}<!--script-->";
        let html = html(&json!({ "live": false, "overview": { "name": hostile } }));
        let data = html.split("id=\"page\">").nth(1).unwrap().split("</script>").next().unwrap();
        let read: Value = serde_json::from_str(data).unwrap();
        assert_eq!(read["overview"]["name"], hostile);
        assert_eq!(html.matches("</script>").count(), 2);
        assert_eq!(html.matches("alert(1)").count(), 1);
    }

    #[test]
    fn the_policy_allows_the_style_and_the_script_of_the_page_alone() {
        let html = html(&json!({ "live": true }));
        for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
            let text = html.split(&format!("<{element}>")).nth(1).unwrap();
            let text = text.split(&format!("</{element}>")).next().unwrap();
            let digest = STANDARD.encode(Sha256::digest(text));
            assert!(POLICY.contains(&format!("{directive} 'sha256-{digest}';")), "{element}");
        }
        assert!(!POLICY.contains("unsafe") && html.contains(POLICY.as_str()));
    }

    #[test]
    fn the_page_makes_no_markup_of_texts() {
        let script = SCRIPT.as_str();
        let forbidden =
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"];
        for name in forbidden {
            assert!(!script.contains(name), "{name}");
        }
        let rest = script.replace("http://www.w3.org/2000/svg", "");
        assert!(!rest.contains("http://") && !rest.contains("https://"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
