//! Greetings, thanks, farewells, and "what can you do".
//!
//! Read by [`super::read`]; [`super::guidance`] puts the reply together.

use super::words::{bare, without_leading};

/// A remark that needs no tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SmallTalk {
    Greeting,
    HowAreYou,
    Thanks,
    Farewell,
    WhoAreYou,
    Help,
}

/// Longer remarks are about something.
const MAX_REMARK_BYTES: usize = 60;

/// The remark that all of `clause` is.
pub(super) fn read(clause: &str) -> Option<SmallTalk> {
    let text = bare(clause);
    if text.is_empty() || text.len() > MAX_REMARK_BYTES {
        return None;
    }
    let lower = text.to_lowercase().replace('’', "'");
    exactly(&lower)
        .or_else(|| exactly(bare(without_leading(&lower, &["and", "so", "ok", "okay", "well", "please"]))))
}

fn exactly(text: &str) -> Option<SmallTalk> {
    let text =
        ["callboard", "there", "again", "everyone", "you", "so much", "very much", "a lot", "bot", "all"]
            .iter()
            .fold(text, |text, name| {
                let head = text.strip_suffix(name).map(|head| head.trim_end_matches([',', ' ']));
                head.filter(|head| matches!(*head, "hi" | "hello" | "hey" | "thanks" | "thank you" | "bye"))
                    .unwrap_or(text)
            });
    Some(match text {
        "hi" | "hello" | "hey" | "hiya" | "howdy" | "yo" | "greetings" | "good morning"
        | "good afternoon" | "good evening" | "good day" | "hola" | "hallo" | "bonjour" | "ciao" | "moin"
        | "guten tag" | "salut" | "hej" | "olá" | "привет" | "你好" | "こんにちは" => {
            SmallTalk::Greeting
        }
        "how are you" | "how are you doing" | "how are you today" | "how's it going" | "how is it going"
        | "what's up" | "whats up" | "how do you do" => SmallTalk::HowAreYou,
        "thanks" | "thank you" | "thank" | "thx" | "ty" | "cheers" | "danke" | "gracias" | "merci"
        | "much appreciated" | "great" | "cool" | "nice" | "awesome" | "perfect" | "ok" | "okay" => {
            SmallTalk::Thanks
        }
        "bye" | "goodbye" | "good bye" | "see you" | "see you later" | "good night" | "ciao ciao"
        | "tschüss" | "adiós" | "au revoir" => SmallTalk::Farewell,
        "who are you" | "what are you" | "what is your name" | "what's your name" | "who made you"
        | "are you a bot" | "are you human" | "are you an ai" | "introduce yourself" => SmallTalk::WhoAreYou,
        "help"
        | "help me"
        | "what can you do"
        | "what can i ask"
        | "what can i ask you"
        | "what do you do"
        | "how can you help"
        | "how can you help me"
        | "what can you help me with"
        | "what can you do for me"
        | "what tools do you have"
        | "what are your tools"
        | "what are your capabilities"
        | "commands"
        | "usage"
        | "?"
        | "/help"
        | "how does this work"
        | "how do you work" => SmallTalk::Help,
        _ => return None,
    })
}
