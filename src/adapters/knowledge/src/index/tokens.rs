//! Where a word begins and ends: letters and digits, and a number whole with its points: `E07`, `5.2`, `4.2.0`, `3,290`.
//!
//! For tantivy, by way of [`super::words`].

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Cuts texts into words.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    token: Token,
}

pub(super) struct WordStream<'a> {
    text: &'a str,
    at: usize,
    token: &'a mut Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream { text, at: 0, token: &mut self.token }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        self.token.text.clear();
        self.token.position = self.token.position.wrapping_add(1);
        let rest = &self.text[self.at..];
        let Some(skipped) = rest.find(char::is_alphanumeric) else {
            self.at = self.text.len();
            return false;
        };
        let from = self.at + skipped;
        let to = from + word(&self.text[from..]);
        self.token.offset_from = from;
        self.token.offset_to = to;
        self.token.text.push_str(&self.text[from..to]);
        self.at = to;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Length of the word at the beginning.
fn word(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    loop {
        end += text[end..].find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len() - end);
        let joins =
            matches!(bytes.get(end), Some(b'.' | b',')) && end > 0 && digit(end - 1) && digit(end + 1);
        if !joins {
            return end;
        }
        end += 1;
    }
}

#[cfg(test)]
mod tests {
    use tantivy::tokenizer::{TokenStream, Tokenizer};

    use super::Words;

    #[test]
    fn numbers_are_whole_and_sentences_end() {
        let text = "v4.2.0, 5.2 kWh: 3,290 €. Über-groß E07. 1.5. 2 x.5";
        let mut words = Vec::new();
        Words::default().token_stream(text).process(&mut |token| {
            assert_eq!(token.text, text[token.offset_from..token.offset_to]);
            words.push(token.text.clone());
        });
        assert_eq!(words, ["v4.2.0", "5.2", "kWh", "3,290", "Über", "groß", "E07", "1.5", "2", "x", "5"]);
    }
}
