//! What becomes of a body: text in the service's own character set; HTML as readable text, without its machinery.
//!
//! [`super`] asks, and cuts. A page is a stranger's, so it is read in one pass, without recursion: whatever its tags do, the
//! time is that of its length.

use encoding_rs::{Encoding, UTF_8};

/// What a content type promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Html,
    Text,
}

/// Elements whose content nobody reads.
const SKIPPED: &[&str] = &["script", "style", "noscript", "template", "svg", "iframe"];
/// Elements that begin and end a line.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "table",
    "title",
    "tr",
    "ul",
];
/// No name of an element that matters is longer.
const MAX_NAME: usize = 10;

impl Kind {
    /// Nothing where it is no text.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/html" | "application/xhtml+xml" => Some(Self::Html),
            "application/json" | "application/xml" | "application/yaml" | "application/javascript" => {
                Some(Self::Text)
            }
            other if other.starts_with("text/") || other.ends_with("+json") || other.ends_with("+xml") => {
                Some(Self::Text)
            }
            _ => None,
        }
    }
}

pub(super) fn readable(kind: Kind, content_type: &str, body: &[u8]) -> String {
    let named = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    let encoding = named.and_then(|name| Encoding::for_label(name.as_bytes())).unwrap_or(UTF_8);
    let (text, _, _) = encoding.decode(body);
    let text = match kind {
        Kind::Text => text.into_owned(),
        Kind::Html => text_of(&text),
    };
    // Control characters are nothing to read and take six bytes each in a result.
    let legible = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(|c| legible(*c)).collect::<String>().trim().to_owned()
}

/// A page's words, a line for each of its blocks.
fn text_of(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        words(&mut text, &rest[..at]);
        rest = tag(&mut text, &rest[at..]);
    }
    words(&mut text, rest);
    let lines = text.split('\n').map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What lies between tags: line ends are no more than spaces there.
fn words(text: &mut String, between: &str) {
    let decoded = html_escape::decode_html_entities(between);
    text.extend(decoded.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
}

/// Reads the tag that `html` begins with; what follows it.
fn tag<'a>(text: &mut String, html: &'a str) -> &'a str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |end| &comment[end + 3..]);
    }
    let inside = &html[1..];
    if !inside.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
        text.push('<');
        return inside;
    }
    let Some(end) = inside.find('>') else { return "" };
    let (inside, rest) = (&inside[..end], &inside[end + 1..]);
    let closes = inside.starts_with('/');
    let name =
        inside.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).take(MAX_NAME + 1);
    let name = name.collect::<String>().to_ascii_lowercase();
    if SKIPPED.contains(&name.as_str()) && !closes && !inside.ends_with('/') {
        return after_element(rest, &name);
    }
    if BLOCKS.contains(&name.as_str()) {
        text.push('\n');
    } else if matches!(name.as_str(), "td" | "th") {
        text.push(' ');
    }
    rest
}

/// What follows the end tag of `name`; nothing where there is none.
fn after_element<'a>(mut html: &'a str, name: &str) -> &'a str {
    while let Some(at) = html.find("</") {
        html = &html[at + 2..];
        if html.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return html.find('>').map_or("", |end| &html[end + 1..]);
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Kind, readable, text_of};

    #[test]
    fn pages_become_text() {
        let page = "<!DOCTYPE html><html><head><title>Shop</title><style>p{}</style><SCRIPT>if (a<b) alert(1)</Script></head>\
                    <body><!-- <p>no</p> --><h1>Opening &amp; hours</h1>\n<p>Mo&ndash;Fr <b>9</b>&nbsp;to 5, 1 < 2<br/>closed on \
                    Sunday</p><table><tr><td>a</td><td>b</td></tr></table></body></html>";
        let lines = "Shop\nOpening & hours\nMo–Fr 9 to 5, 1 < 2\nclosed on Sunday\na b";
        assert_eq!(readable(Kind::Html, "text/html", page.as_bytes()), lines);
        assert_eq!(readable(Kind::Text, "text/plain; charset=\"iso-8859-1\"", b"caf\xe9\x00"), "café");
    }

    #[test]
    fn a_hostile_page_takes_no_longer_than_its_length() {
        for piece in
            ["<a>", "<", "</", "<script>", "<!--", "&", "&amp", "<a href='", "<p", "<svg/>", "</script"]
        {
            let began = Instant::now();
            text_of(&piece.repeat(500_000));
            assert!(began.elapsed() < Duration::from_secs(10), "{piece} took {:?}", began.elapsed());
        }
    }

    #[test]
    fn what_is_no_text_is_told_by_its_type() {
        assert_eq!(Kind::of("Text/HTML; charset=utf-8"), Some(Kind::Html));
        assert_eq!(Kind::of("application/problem+json"), Some(Kind::Text));
        assert_eq!(Kind::of("application/octet-stream"), None);
        assert_eq!(Kind::of("image/png"), None);
    }
}
