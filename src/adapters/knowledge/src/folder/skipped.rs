//! Why a file is no document here, and how often.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    OtherType,
    Hidden,
    TooLarge,
    TooManyFiles,
    TotalTooLarge,
    TooManyEntries,
    TooDeep,
    LinkOutside,
    LinkAgain,
    BrokenLink,
    NoFile,
    NameNotUtf8,
    Unreadable,
    Binary,
    NotUtf8,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::OtherType => "neither Markdown, text nor HTML by their names",
            Self::Hidden => "hidden",
            Self::TooLarge => "larger than 4 MiB",
            Self::TooManyFiles => "beyond the first 10,000",
            Self::TotalTooLarge => "beyond 256 MiB in all",
            Self::TooManyEntries => "folder cut off behind 200,000 names",
            Self::TooDeep => "more than 32 folders deep",
            Self::LinkOutside => "links that leave the folder",
            Self::LinkAgain => "links to a folder that is there already",
            Self::BrokenLink => "links to nothing",
            Self::NoFile => "neither file nor folder",
            Self::NameNotUtf8 => "with a name that is no UTF-8",
            Self::Unreadable => "unreadable",
            Self::Binary => "binary",
            Self::NotUtf8 => "not in UTF-8",
        }
    }
}

/// How many for which reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Skipped(BTreeMap<Why, u64>);

impl Skipped {
    pub fn count(&mut self, why: Why) {
        *self.0.entry(why).or_default() += 1;
    }

    #[cfg(test)]
    pub fn of(&self, why: Why) -> u64 {
        self.0.get(&why).copied().unwrap_or(0)
    }

    /// All that were left out, whatever the reason.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (why, times)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{times} {}", why.words())?;
        }
        Ok(())
    }
}
