//! Headers of a record in one piece of memory: eight of them, each with a name and a value of its own, would be most of what is
//! allocated for a record, and records lie in memory by the ten thousand. The same bytes are what the embedded log keeps.
//!
//! Each header is name length (u16), value length (u32), name, value; big endian.

use std::fmt;

use bytes::Bytes;

/// Bytes of a header before its name.
const LENGTHS: usize = 6;
/// Where the headers of Callboard's own records fit without growing.
const USUAL_BYTES: usize = 512;

/// A record header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
}

/// The headers of a record, in order; a name may come twice. Bytes are shared, so cloning is cheap.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(Bytes);

impl Headers {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (name, value, next) = split(rest)?;
            rest = next;
            Some(Header { name: std::str::from_utf8(name).ok()?, value })
        })
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut rest = &self.0[..];
        while let Some((found, value, next)) = split(rest) {
            if found == name.as_bytes() {
                return Some(value);
            }
            rest = next;
        }
        None
    }

    /// In this module's form, for a log to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes `count` headers in this module's form off the front of `bytes`, without copying. `None` where they are none; then
    /// `bytes` is as it was.
    #[must_use]
    pub fn split_from(bytes: &mut Bytes, count: usize) -> Option<Self> {
        let mut rest = &bytes[..];
        for _ in 0..count {
            let (name, _, next) = split(rest)?;
            std::str::from_utf8(name).ok()?;
            rest = next;
        }
        let length = bytes.len() - rest.len();
        Some(Self(bytes.split_to(length)))
    }
}

/// The first header: name, value, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (lengths, rest) = bytes.split_first_chunk::<LENGTHS>()?;
    let name_length = usize::from(u16::from_be_bytes([lengths[0], lengths[1]]));
    let value_length = u32::from_be_bytes([lengths[2], lengths[3], lengths[4], lengths[5]]) as usize;
    let (name, rest) = rest.split_at_checked(name_length)?;
    let (value, rest) = rest.split_at_checked(value_length)?;
    Some((name, value, rest))
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut list = HeaderList::default();
        for (name, value) in headers {
            list.push(name.as_ref(), value);
        }
        list.into()
    }
}

/// Headers in the making.
#[derive(Debug, Default)]
pub struct HeaderList(Vec<u8>);

impl HeaderList {
    /// Appends one. A name of 64 KiB or a value of 4 GiB is left out: no log takes either, and a stranger's is not looked for.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        if let Ok(length) = u32::try_from(value.len())
            && self.begin(name, length)
        {
            self.0.extend_from_slice(value);
        }
    }

    /// Appends one whose value is the text of `value`.
    pub fn push_text(&mut self, name: &str, value: impl fmt::Display) {
        use std::io::Write;
        if !self.begin(name, 0) {
            return;
        }
        let from = self.0.len();
        write!(self.0, "{value}").expect("memory takes what is written");
        let length = u32::try_from(self.0.len() - from).expect("a text of a header is short");
        let lengths = from - name.len() - size_of::<u32>();
        self.0[lengths..lengths + size_of::<u32>()].copy_from_slice(&length.to_be_bytes());
    }

    fn begin(&mut self, name: &str, value_length: u32) -> bool {
        let Ok(name_length) = u16::try_from(name.len()) else { return false };
        if self.0.capacity() == 0 {
            self.0.reserve(USUAL_BYTES);
        }
        self.0.extend_from_slice(&name_length.to_be_bytes());
        self.0.extend_from_slice(&value_length.to_be_bytes());
        self.0.extend_from_slice(name.as_bytes());
        true
    }
}

impl<'a> Extend<Header<'a>> for HeaderList {
    fn extend<I: IntoIterator<Item = Header<'a>>>(&mut self, headers: I) {
        for header in headers {
            self.push(header.name, header.value);
        }
    }
}

impl From<HeaderList> for Headers {
    fn from(list: HeaderList) -> Self {
        Self(list.0.into())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Header, HeaderList, Headers};

    #[test]
    fn headers_come_back_in_order() {
        let mut list = HeaderList::default();
        list.push("twice", "a");
        list.push_text("number", 1_234);
        list.push("twice", [0xff]);
        list.push("", "");
        list.push(&"x".repeat(70_000), "too long a name");
        let headers = Headers::from(list);
        let all: Vec<(&str, &[u8])> = headers.iter().map(|Header { name, value }| (name, value)).collect();
        assert_eq!(all, [("twice", &b"a"[..]), ("number", b"1234"), ("twice", &[0xff]), ("", b"")]);
        assert_eq!((headers.get("twice"), headers.get("no")), (Some(&b"a"[..]), None));
        assert_eq!(headers, all.into_iter().collect());
        assert!(headers.len() == 4 && !headers.is_empty() && Headers::default().is_empty());
    }

    #[test]
    fn only_whole_headers_are_taken_off_the_front() {
        let headers: Headers = [("a", "1"), ("b", "")].into_iter().collect();
        let whole = [headers.as_bytes(), b"rest"].concat();
        let mut bytes = Bytes::from(whole.clone());
        assert_eq!(Headers::split_from(&mut bytes, 2), Some(headers.clone()));
        assert_eq!(&bytes[..], b"rest");
        for cut in 0..headers.as_bytes().len() {
            let mut bytes = Bytes::copy_from_slice(&whole[..cut]);
            assert_eq!(Headers::split_from(&mut bytes, 2), None, "cut at {cut}");
            assert_eq!(bytes.len(), cut);
        }
        let mut no_text = Bytes::from_static(&[0, 1, 0, 0, 0, 0, 0xff]);
        assert_eq!(Headers::split_from(&mut no_text, 1), None);
    }
}
