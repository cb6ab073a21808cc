//! Character references of HTML: `&amp;`, `&#8364;`, `&#x20AC;`. Called by [`super::html`].

/// What people write in documents. What is not here stays as it is written.
const NAMED: &[(&str, &str)] = &[
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("ensp", " "),
    ("emsp", " "),
    ("thinsp", " "),
    ("shy", ""),
    ("zwnj", ""),
    ("zwj", ""),
    ("ndash", "–"),
    ("mdash", "—"),
    ("minus", "−"),
    ("hellip", "…"),
    ("lsquo", "‘"),
    ("rsquo", "’"),
    ("sbquo", "‚"),
    ("ldquo", "“"),
    ("rdquo", "”"),
    ("bdquo", "„"),
    ("laquo", "«"),
    ("raquo", "»"),
    ("bull", "•"),
    ("middot", "·"),
    ("copy", "©"),
    ("reg", "®"),
    ("trade", "™"),
    ("sect", "§"),
    ("para", "¶"),
    ("deg", "°"),
    ("plusmn", "±"),
    ("times", "×"),
    ("divide", "÷"),
    ("frac12", "½"),
    ("frac14", "¼"),
    ("frac34", "¾"),
    ("sup2", "²"),
    ("sup3", "³"),
    ("micro", "µ"),
    ("le", "≤"),
    ("ge", "≥"),
    ("ne", "≠"),
    ("asymp", "≈"),
    ("infin", "∞"),
    ("rarr", "→"),
    ("larr", "←"),
    ("uarr", "↑"),
    ("darr", "↓"),
    ("euro", "€"),
    ("pound", "£"),
    ("yen", "¥"),
    ("cent", "¢"),
    ("auml", "ä"),
    ("ouml", "ö"),
    ("uuml", "ü"),
    ("Auml", "Ä"),
    ("Ouml", "Ö"),
    ("Uuml", "Ü"),
    ("szlig", "ß"),
    ("eacute", "é"),
    ("egrave", "è"),
    ("ecirc", "ê"),
    ("aacute", "á"),
    ("agrave", "à"),
    ("acirc", "â"),
    ("iacute", "í"),
    ("oacute", "ó"),
    ("ocirc", "ô"),
    ("uacute", "ú"),
    ("ntilde", "ñ"),
    ("ccedil", "ç"),
    ("aring", "å"),
    ("oslash", "ø"),
    ("aelig", "æ"),
];

/// No reference is longer than this.
const MAX_BYTES: usize = 12;

/// What the reference at the beginning of `text` (after `&`) stands for, and its length with the `;`.
pub(super) fn reference(text: &str) -> Option<(String, usize)> {
    let end = text.bytes().take(MAX_BYTES).position(|b| b == b';')?;
    let name = &text[..end];
    let stands_for = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            let c = char::from_u32(code)?;
            let c = if c.is_control() || c == '\u{a0}' { ' ' } else { c };
            c.to_string()
        }
        None => NAMED.iter().find(|(known, _)| *known == name)?.1.to_owned(),
    };
    Some((stands_for, end + 1))
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn references_by_name_and_number() {
        for (text, expected) in [
            ("amp;x", Some(("&", 4))),
            ("#8364;", Some(("€", 6))),
            ("#x20ac;", Some(("€", 7))),
            ("#xD800;", None),
            ("#99999999999;", None),
            ("unheardof;", None),
            ("amp x", None),
            ("", None),
        ] {
            assert_eq!(reference(text), expected.map(|(s, n)| (s.to_owned(), n)), "{text}");
        }
    }
}
