//! Earlier exchanges for a prompt: the newest first, within a budget, told in their order.

use callboard_domain::request::Exchange;

use super::{Message, Role, clipped};

/// An exchange longer than this part of the budget is cut, so that more than one fits.
const PARTS: usize = 4;

/// The newest of `exchanges` that fit into `max_bytes`.
pub(super) fn messages(exchanges: &[Exchange], max_bytes: usize) -> Vec<Message> {
    let mut left = max_bytes;
    let mut newest_first = Vec::new();
    for exchange in exchanges.iter().rev() {
        let message = clipped(&exchange.message, max_bytes / PARTS);
        let answer = clipped(exchange.answer.as_deref().unwrap_or("(no answer)"), max_bytes / PARTS);
        let bytes = message.len() + answer.len();
        if bytes > left {
            break;
        }
        left -= bytes;
        newest_first.push(Message::new(Role::Assistant, answer));
        newest_first.push(Message::new(Role::User, message));
    }
    newest_first.reverse();
    newest_first
}

#[cfg(test)]
mod tests {
    use callboard_domain::request::Exchange;

    use super::messages;

    #[test]
    fn the_newest_exchanges_stay_in_their_order() {
        let exchange =
            |n: usize| Exchange { message: format!("question {n}").into(), answer: Some("yes".into()) };
        let all: Vec<Exchange> = (0..10).map(exchange).collect();
        let told = messages(&all, 48);
        let told: Vec<&str> = told.iter().map(|message| &*message.content).collect();
        assert_eq!(told, ["question 7", "yes", "question 8", "yes", "question 9", "yes"]);
        let long = Exchange { message: "x".repeat(1_000).into(), answer: None };
        let told = messages(&[all[0].clone(), long], 400);
        let told: Vec<&str> = told.iter().map(|message| &*message.content).collect();
        assert_eq!(told[..2], ["question 0", "yes"]);
        assert_eq!(told[2], format!("{}… (cut: 100 of 1000 bytes)", "x".repeat(100)));
        assert_eq!(told[3], "(no answer)");
        assert!(messages(&all, 0).is_empty());
    }
}
