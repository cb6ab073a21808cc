//! Where markup begins and ends in HTML. What it means is [`super`]'s business.

/// A tag is this long at most for a quoted `>` in it to count; a longer one ends at its first `>`.
const MAX_QUOTED_TAG_BYTES: usize = 2 * 1024;
/// Elements whose content nobody reads.
const UNREAD: &[&str] = &["script", "style", "template", "svg", "iframe", "object"];

/// A piece of the source.
pub(super) enum Markup<'a> {
    Text(&'a str),
    /// What may be a character reference: `&` and what follows, up to `;`.
    Reference(&'a str),
    /// A tag and all of its source; that of an unread element includes its content.
    Tag(Tag<'a>, &'a str),
    /// A comment, a declaration.
    Nothing(&'a str),
}

pub(super) struct Tag<'a> {
    pub name: &'a str,
    pub closes: bool,
}

/// Goes through a source from front to back.
pub(super) struct Scanner<'a> {
    rest: &'a str,
    /// No `>` follows any more: all that is left is text.
    without_tags: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(source: &'a str) -> Self {
        Self { rest: source, without_tags: false }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    /// The next piece; `None` at the end.
    pub fn next(&mut self) -> Option<Markup<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let piece = match self.rest.as_bytes()[0] {
            b'<' => self.markup(),
            b'&' => super::super::entities::reference(&self.rest[1..])
                .map(|(_, bytes)| Markup::Reference(self.take(bytes + 1))),
            _ => None,
        };
        Some(piece.unwrap_or_else(|| {
            let bytes = self.rest.bytes().skip(1).position(|b| b == b'<' || b == b'&');
            let bytes = bytes.map_or(self.rest.len(), |at| at + 1);
            Markup::Text(self.take(bytes))
        }))
    }

    fn markup(&mut self) -> Option<Markup<'a>> {
        if self.rest.starts_with("<!--") {
            let end = self.rest.find("-->").map_or(self.rest.len(), |at| at + 3);
            return Some(Markup::Nothing(self.take(end)));
        }
        let closes = self.rest[1..].starts_with('/');
        let name = &self.rest[if closes { 2 } else { 1 }..];
        if name.starts_with(['!', '?']) {
            let end = self.end_of_tag()?;
            return Some(Markup::Nothing(self.take(end)));
        }
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let name = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
        let mut end = self.end_of_tag()?;
        let unread = UNREAD.iter().any(|unread| name.eq_ignore_ascii_case(unread));
        if unread && !closes && !self.rest[..end].ends_with("/>") {
            end = self.end_of_element(name, end);
        }
        Some(Markup::Tag(Tag { name, closes }, self.take(end)))
    }

    /// Length of the tag at the beginning.
    fn end_of_tag(&mut self) -> Option<usize> {
        if self.without_tags {
            return None;
        }
        let mut quote = None;
        for (at, b) in self.rest.bytes().take(MAX_QUOTED_TAG_BYTES).enumerate() {
            match (quote, b) {
                (None, b'>') => return Some(at + 1),
                (None, b'"' | b'\'') => quote = Some(b),
                (Some(open), b) if open == b => quote = None,
                _ => {}
            }
        }
        let end = self.rest.find('>').map(|at| at + 1);
        self.without_tags = end.is_none();
        end
    }

    /// Length of the element at the beginning, whose first tag ends at `from`: with its last tag, or to the end.
    fn end_of_element(&self, name: &str, from: usize) -> usize {
        let mut at = from;
        while let Some(found) = self.rest[at..].find("</") {
            at += found + 2;
            let closing = self.rest.get(at..at + name.len());
            if closing.is_some_and(|closing| closing.eq_ignore_ascii_case(name)) {
                return self.rest[at..].find('>').map_or(self.rest.len(), |end| at + end + 1);
            }
        }
        self.rest.len()
    }
}
