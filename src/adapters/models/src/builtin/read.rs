//! From a message to intents: the longest parts that make sense, in order, and what is left over.
//!
//! [`super::split`] says where a message may be cut; the readers say what a part means; [`super::steps`] makes a plan
//! of it. A 256 kB message costs a few thousand attempts at parts of a kilobyte at most.

use std::ops::Range;

use super::arithmetic::{self, Expression};
use super::currency::{self, Amount, Conversion};
use super::echo::{self, Echo, Verb};
use super::small_talk::{self, SmallTalk};
use super::split::{self, Cut, Kind};
use super::weather::{self, Weather};
use super::words::{FRAMES, TAILS, bare};

/// More questions than this in one message are answered in several.
pub(super) const MAX_INTENTS: usize = 16;
/// A clause longer than the longest expression is none that anything but an echo understands.
const MAX_CLAUSE_BYTES: usize = 1_000;
/// Parts tried as one clause: `weather in A, B, C, … and L` has twelve.
const MAX_SPAN: usize = 12;

/// What a part of a message asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Intent {
    SmallTalk(SmallTalk),
    Weather(Weather),
    Conversion(Conversion),
    Math(Expression),
    Echo(Echo),
}

/// A message, read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading<'a> {
    pub intents: Vec<Intent>,
    /// What was not understood, in order.
    pub rest: Vec<&'a str>,
    /// What came after the last intent that was taken.
    pub beyond: Option<&'a str>,
}

struct Reader<'a> {
    message: &'a str,
    cuts: Vec<Cut>,
}

/// Reads `message`.
pub(super) fn read(message: &str) -> Reading<'_> {
    let reader = Reader { message, cuts: split::cuts(message) };
    let mut reading = Reading::default();
    let mut left: Option<Range<usize>> = None;
    let mut part = 0;
    while part < reader.parts() {
        let start = reader.part(part).start;
        if reader.is_idle(part) {
            part += 1;
            continue;
        }
        if reading.intents.len() == MAX_INTENTS {
            reading.beyond = Some(message[start..].trim());
            break;
        }
        let found = match echo::verb(&message[start..]) {
            Some(verb) => Some(reader.echo(part, verb, reading.intents.last())),
            None => reader.longest(part, reading.intents.last()),
        };
        match found {
            Some((intent, next)) => {
                reading.rest.extend(left.take().map(|range| &message[range]));
                reading.intents.push(intent);
                part = next;
            }
            None => {
                let start = left.map_or(start, |left| left.start);
                left = Some(start..reader.part(part).end);
                part += 1;
            }
        }
    }
    reading.rest.extend(left.map(|range| &message[range]));
    for rest in &mut reading.rest {
        *rest = bare(rest);
    }
    reading.rest.retain(|rest| !rest.is_empty());
    reading
}

impl<'a> Reader<'a> {
    fn parts(&self) -> usize {
        self.cuts.len() + 1
    }

    fn part(&self, part: usize) -> Range<usize> {
        let start = part.checked_sub(1).map_or(0, |cut| self.cuts[cut].at.end);
        start..self.cuts.get(part).map_or(self.message.len(), |cut| cut.at.start)
    }

    /// Empty, or only politeness.
    fn is_idle(&self, part: usize) -> bool {
        let text = bare(&self.message[self.part(part)]);
        text.is_empty()
            || FRAMES.iter().chain(TAILS).any(|known| text.eq_ignore_ascii_case(known) && *known != "ok")
    }

    /// The longest clause from `part` on that makes sense, and the part after it.
    fn longest(&self, part: usize, last: Option<&Intent>) -> Option<(Intent, usize)> {
        let sentence_end =
            (part..self.cuts.len()).find(|cut| self.cuts[*cut].kind != Kind::Soft).unwrap_or(self.cuts.len());
        let start = self.part(part).start;
        (part..=sentence_end.min(part + MAX_SPAN)).rev().find_map(|end| {
            let clause = &self.message[start..self.part(end).end];
            (clause.len() <= MAX_CLAUSE_BYTES)
                .then(|| clause_intent(clause, last))?
                .map(|intent| (intent, end + 1))
        })
    }

    /// An echo takes everything up to the next echo, or up to a line's end behind which something else is asked.
    fn echo(&self, part: usize, verb: Verb<'a>, last: Option<&Intent>) -> (Intent, usize) {
        let body_at = self.message.len() - verb.rest.len();
        // A quotation says itself where it ends.
        let quoted_until = echo::quoted(verb.rest).map(|(text, _)| body_at + text.len());
        let ends = |cut: usize| {
            let next = cut + 1;
            let blank = (next..self.parts()).all(|part| bare(&self.message[self.part(part)]).is_empty());
            let asked = || self.longest(next, last).is_some();
            echo::verb(&self.message[self.part(next).start..]).is_some()
                || quoted_until.is_some_and(|until| self.cuts[cut].at.start > until)
                || (self.cuts[cut].kind == Kind::Line && (blank || asked()))
        };
        let at = if verb.to_the_end {
            None
        } else {
            (part..self.cuts.len()).find(|cut| self.cuts[*cut].at.start > body_at && ends(*cut))
        };
        let (until, next) = match at {
            // The mark that ends a sentence belongs to it.
            Some(cut) if self.cuts[cut].kind == Kind::Sentence => (self.cuts[cut].at.end, cut + 1),
            Some(cut) => (self.cuts[cut].at.start, cut + 1),
            None => (self.message.len(), self.parts()),
        };
        (Intent::Echo(echo::read(verb, &self.message[body_at..until.max(body_at)])), next)
    }
}

/// What one clause means after `last`.
fn clause_intent(clause: &str, last: Option<&Intent>) -> Option<Intent> {
    if let Some(remark) = small_talk::read(clause) {
        return Some(Intent::SmallTalk(remark));
    }
    if let Some(weather) = weather::read(clause) {
        return Some(Intent::Weather(weather));
    }
    let after_money = matches!(last, Some(Intent::Conversion(_)));
    let money = currency::read(clause).or_else(|| after_money.then(|| currency::read_more(clause))?);
    if let Some(conversion) = money.filter(|money| money.amount != Amount::Previous || after_money) {
        return Some(Intent::Conversion(conversion));
    }
    let has_number = matches!(last, Some(Intent::Conversion(_) | Intent::Math(_)));
    if let Some(expression) = arithmetic::read(clause, has_number)
        && (has_number || !expression.uses_previous())
    {
        return Some(Intent::Math(expression));
    }
    let after_weather = matches!(last, Some(Intent::Weather(_)));
    after_weather.then(|| weather::read_more(clause))?.map(Intent::Weather)
}
