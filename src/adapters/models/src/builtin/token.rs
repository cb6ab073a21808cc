//! Numbers, words and signs: the pieces that [`super::expression`] and [`super::unit`] judge.

/// More words than any expression that a person writes.
const MAX_TOKENS: usize = 400;

/// A piece of an expression.
pub(super) enum Token<'a> {
    Number(String),
    Word(&'a str),
    Sign(char),
}

impl Token<'_> {
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// The pieces of `text`; `None` where it holds a sign that no expression has.
pub(super) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while let Some(c) = rest.chars().next() {
        if out.len() == MAX_TOKENS {
            return None;
        }
        let (token, len) =
            if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
                number(rest)?
            } else if c.is_alphabetic() || c == '°' || c == 'µ' {
                let end = rest
                    .char_indices()
                    .skip(1)
                    .find(|(_, c)| !c.is_alphanumeric())
                    .map_or(rest.len(), |(at, _)| at);
                (Token::Word(&rest[..end]), end)
            } else {
                let sign = match c {
                    '+' | '-' | '*' | '/' | '^' | '(' | ')' | '!' | '%' | '√' | '\'' | '"' => c,
                    '×' | '·' | '⋅' => '*',
                    '÷' => '/',
                    '−' | '–' => '-',
                    _ => return None,
                };
                if rest.starts_with("**") { (Token::Sign('^'), 2) } else { (Token::Sign(sign), c.len_utf8()) }
            };
        out.push(token);
        rest = rest[len..].trim_start();
    }
    (!out.is_empty()).then_some(out)
}

/// `1,234.5`, `3e8`, as one token without its commas.
fn number(rest: &str) -> Option<(Token<'_>, usize)> {
    let bytes = rest.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    let mut points = 0;
    loop {
        match bytes.get(end) {
            Some(b'0'..=b'9') => end += 1,
            Some(b',') if digit(end + 1) && digit(end + 2) && digit(end + 3) && !digit(end + 4) => end += 1,
            Some(b'.') if points == 0 && digit(end + 1) => {
                points += 1;
                end += 1;
            }
            Some(b'e' | b'E')
                if digit(end + 1) || (matches!(bytes.get(end + 1), Some(b'-' | b'+')) && digit(end + 2)) =>
            {
                end += 2;
                while digit(end) {
                    end += 1;
                }
                break;
            }
            // `1,5` and `1.2.3` are written by somebody who means something else.
            Some(b',' | b'.') if digit(end + 1) => return None,
            _ => break,
        }
    }
    Some((Token::Number(rest[..end].replace(',', "")), end))
}
