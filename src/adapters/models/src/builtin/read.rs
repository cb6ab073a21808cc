//! From a message to intents: the longest parts that make sense, in order, and what is left over.
//!
//! [`super::split`] says where a message may be cut; the readers say what a part means; [`super::steps`] makes a plan
//! of it. A 256 kB message costs a few thousand attempts at parts of a kilobyte at most.

use std::ops::Range;

use super::arithmetic::{self, Expression};
use super::currency::{self, Amount, Conversion};
use super::documents;
use super::echo::{self, Echo};
use super::effect::{self, Effect};
use super::small_talk::{self, SmallTalk};
use super::split::{self, Cut, Kind};
use super::weather::{self, Weather};
use super::words::{FRAMES, TAILS, after_any, bare};

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
    Effect(Effect),
    /// To be looked up in the documents, because that was said…
    LookUp(String),
    /// …or because something is asked that nothing else understands.
    Question(String),
}

/// An intent in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    pub intent: Intent,
    /// `then` stands before it: it comes after what was asked before.
    pub then: bool,
}

/// A message, read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading<'a> {
    pub clauses: Vec<Clause>,
    /// What was not understood, in order.
    pub rest: Vec<&'a str>,
    /// What came after the last intent that was taken.
    pub beyond: Option<&'a str>,
}

struct Reader<'a> {
    message: &'a str,
    cuts: Vec<Cut>,
}

/// Parts that nothing has understood yet.
struct Left {
    at: Range<usize>,
    then: bool,
}

/// Reads `message`.
pub(super) fn read(message: &str) -> Reading<'_> {
    let reader = Reader { message, cuts: split::cuts(message) };
    let mut reading = Reading::default();
    let mut left: Option<Left> = None;
    let (mut part, mut said_until) = (0, 0);
    while part < reader.parts() {
        let start = reader.part(part).start;
        if reader.is_idle(part) {
            part += 1;
            continue;
        }
        if reading.clauses.len() == MAX_INTENTS {
            reading.beyond = Some(message[start..].trim());
            break;
        }
        let then = says_then(&message[said_until..start]) || begins_with_then(&message[start..]);
        let last = reading.last_understood();
        let found = reader
            .echo(part, last)
            .or_else(|| reader.effect(part, last))
            .or_else(|| reader.look_up(part, last))
            .or_else(|| reader.longest(part, last));
        match found {
            Some((intent, next)) => {
                reading.leave(message, left.take());
                reading.clauses.push(Clause { intent, then });
                part = next;
                said_until = reader.part(next - 1).end;
            }
            None => {
                let end = reader.end_of_sentence(part);
                left = Some(match left {
                    Some(left) => Left { at: left.at.start..end, then: left.then },
                    None => Left { at: start..end, then },
                });
                said_until = reader.part(part).end;
                part += 1;
            }
        }
    }
    reading.leave(message, left);
    reading.rest.retain(|rest| !rest.is_empty());
    reading
}

impl<'a> Reading<'a> {
    /// The last clause that was understood, which the next may go on from.
    fn last_understood(&self) -> Option<&Intent> {
        let understood = |intent: &&Intent| !matches!(intent, Intent::LookUp(_) | Intent::Question(_));
        self.clauses.iter().map(|clause| &clause.intent).rev().find(understood)
    }

    /// What nothing understood: a question for the documents, or the rest.
    fn leave(&mut self, message: &'a str, left: Option<Left>) {
        let Some(Left { at, then }) = left else { return };
        let text = &message[at];
        if documents::asks(text) {
            self.clauses.push(Clause { intent: Intent::Question(text.to_owned()), then });
        } else {
            self.rest.push(bare(text));
        }
    }
}

impl<'a> Reader<'a> {
    fn parts(&self) -> usize {
        self.cuts.len() + 1
    }

    fn part(&self, part: usize) -> Range<usize> {
        let start = part.checked_sub(1).map_or(0, |cut| self.cuts[cut].at.end);
        start..self.cuts.get(part).map_or(self.message.len(), |cut| cut.at.start)
    }

    /// Where a part ends, with the mark that ends its sentence.
    fn end_of_sentence(&self, part: usize) -> usize {
        let mark = self.cuts.get(part).filter(|cut| cut.kind == Kind::Sentence);
        mark.map_or(self.part(part).end, |cut| cut.at.end)
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

    /// An echo takes everything up to the next echo, up to an effect that is set apart for certain, or up to a line's
    /// end behind which something else is asked.
    fn echo(&self, part: usize, last: Option<&Intent>) -> Option<(Intent, usize)> {
        let verb = echo::verb(&self.message[self.part(part).start..])?;
        let body_at = self.message.len() - verb.rest.len();
        let ends = |cut: usize| {
            let rest = &self.message[self.part(cut + 1).start..];
            let apart = || self.cuts[cut].kind != Kind::Soft || self.is_then(cut);
            echo::verb(rest).is_some()
                || (effect::verb(rest).is_some() && apart())
                || self.is_behind_quote(verb.rest, cut)
                || self.is_end_of_line(cut, last)
        };
        let at = if verb.to_the_end { None } else { self.first_cut(part, body_at, ends) };
        let (until, next) = match at {
            // The mark that ends a sentence belongs to it.
            Some(cut) if self.cuts[cut].kind == Kind::Sentence => (self.cuts[cut].at.end, cut + 1),
            Some(cut) => (self.cuts[cut].at.start, cut + 1),
            None => (self.message.len(), self.parts()),
        };
        Some((Intent::Echo(echo::read(verb, &self.message[body_at..until.max(body_at)])), next))
    }

    /// An effect takes everything up to the next effect or echo, or up to a place behind which something else is asked
    /// for certain.
    fn effect(&self, part: usize, last: Option<&Intent>) -> Option<(Intent, usize)> {
        let verb = effect::verb(&self.message[self.part(part).start..])?;
        let body_at = self.message.len() - verb.rest.len();
        let body = |until: usize| &self.message[body_at..until.max(body_at)];
        let ends = |cut: usize| {
            let rest = &self.message[self.part(cut + 1).start..];
            let asked = || self.longest(cut + 1, last).is_some();
            effect::verb(rest).is_some()
                || echo::verb(rest).is_some()
                || self.is_behind_quote(verb.rest, cut)
                || self.is_end_of_line(cut, last)
                || (self.is_then(cut) && (asked() || documents::verb(rest).is_some()))
                || (effect::is_complete(verb, body(self.cuts[cut].at.start)) && asked())
        };
        let at = self.first_cut(part, body_at, ends);
        let (until, next) =
            at.map_or((self.message.len(), self.parts()), |cut| (self.cuts[cut].at.start, cut + 1));
        effect::read(verb, body(until)).map(|effect| (Intent::Effect(effect), next))
    }

    /// `look up …` takes its sentence, up to `then` and up to what something is done with. What is understood without it
    /// is not for the documents: `look up the weather in Rome`.
    fn look_up(&self, part: usize, last: Option<&Intent>) -> Option<(Intent, usize)> {
        let verb_rest = documents::verb(&self.message[self.part(part).start..])?;
        let body_at = self.message.len() - verb_rest.len();
        let ends = |cut: usize| {
            let rest = &self.message[self.part(cut + 1).start..];
            let verb = || {
                effect::verb(rest).is_some() || echo::verb(rest).is_some() || documents::verb(rest).is_some()
            };
            self.cuts[cut].kind != Kind::Soft || self.is_then(cut) || verb()
        };
        let (until, next) = match self.first_cut(part, body_at, ends) {
            Some(cut) => (self.cuts[cut].at.start, cut + 1),
            None => (self.message.len(), self.parts()),
        };
        let body = bare(&self.message[body_at..until]);
        let intent = Some(body)
            .filter(|body| body.len() <= MAX_CLAUSE_BYTES)
            .and_then(|body| clause_intent(body, last));
        Some((intent.unwrap_or_else(|| Intent::LookUp(body.to_owned())), next))
    }

    /// The first cut from `part` on, behind `body_at`, at which a text `ends`.
    fn first_cut(&self, part: usize, body_at: usize, ends: impl Fn(usize) -> bool) -> Option<usize> {
        (part..self.cuts.len()).find(|cut| self.cuts[*cut].at.start > body_at && ends(*cut))
    }

    /// A quotation says itself where it ends.
    fn is_behind_quote(&self, rest: &str, cut: usize) -> bool {
        let body_at = self.message.len() - rest.len();
        echo::quoted(rest).is_some_and(|(text, _)| self.cuts[cut].at.start > body_at + text.len())
    }

    /// A line's end behind which something else is asked, or nothing more.
    fn is_end_of_line(&self, cut: usize, last: Option<&Intent>) -> bool {
        let next = cut + 1;
        let blank = || (next..self.parts()).all(|part| bare(&self.message[self.part(part)]).is_empty());
        self.cuts[cut].kind == Kind::Line && (blank() || self.longest(next, last).is_some())
    }

    /// Whether `then` stands at the cut or right behind it.
    fn is_then(&self, cut: usize) -> bool {
        says_then(&self.message[self.cuts[cut].at.clone()])
            || begins_with_then(&self.message[self.part(cut + 1).start..])
    }
}

/// Whether `then` is among the words of what lies between two clauses.
fn says_then(between: &str) -> bool {
    between.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("then"))
}

fn begins_with_then(clause: &str) -> bool {
    after_any(clause.trim_start(), &["then", "and then"]).is_some()
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
