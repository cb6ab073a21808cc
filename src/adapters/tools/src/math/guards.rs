//! What must not reach the evaluator: what would overflow its stack, never end, or answer differently each time.
//!
//! Judged on the text alone, before [`super::evaluate`] sees it. fend has lambdas (which can recurse without end),
//! bit shifts that cannot be interrupted, attributes, assignments and dice; none of them is arithmetic that a plan needs.

/// A longer expression is a program. The evaluator's recursion grows with it.
pub(super) const MAX_EXPRESSION_BYTES: usize = 1_024;
/// 400 nested parentheses overflow a 2 MiB stack and abort the process; nobody writes 64.
const MAX_NESTING: usize = 64;

/// Says why `expression` is refused.
pub(super) fn check(expression: &str) -> Result<(), String> {
    if expression.is_empty() {
        return Err("the expression is empty; write one such as 17% of 2340".to_owned());
    }
    if expression.len() > MAX_EXPRESSION_BYTES {
        let found = expression.len();
        return Err(format!("the expression has {found} bytes; at most {MAX_EXPRESSION_BYTES} are allowed"));
    }
    nesting(expression)?;
    symbols(expression)?;
    match expression.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| is_random(word)) {
        Some(word) => Err(format!("{word:?} is random; the result of an expression must always be the same")),
        None => Ok(()),
    }
}

fn nesting(expression: &str) -> Result<(), String> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for c in expression.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            // The evaluator mends a missing opening parenthesis; here it is an error, so that depth means depth.
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1).ok_or("a closing parenthesis has no opening one")?
            }
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_NESTING {
        return Err(format!("{deepest} nested parentheses; at most {MAX_NESTING} are allowed"));
    }
    if depth > 0 {
        return Err(format!("{depth} parentheses are not closed"));
    }
    Ok(())
}

fn symbols(expression: &str) -> Result<(), String> {
    let refused =
        |what: &str| Err(format!("{what} not allowed; write one plain expression such as 17% of 2340"));
    if let Some(c) = expression.chars().find(|c| matches!(c, ':' | ';' | '\\' | 'λ' | '@' | '\n' | '\r')) {
        return refused(&format!("{c:?} is"));
    }
    if expression.contains("=>") {
        return refused("functions are");
    }
    let comparisons_removed = expression.replace("==", "").replace("!=", "");
    if comparisons_removed.contains('=') {
        return refused("assignments are");
    }
    if expression.contains("<<") || expression.contains(">>") {
        return refused("bit shifts are");
    }
    Ok(())
}

/// `roll`, `sample`, and dice such as `d6` or `2d20`.
fn is_random(word: &str) -> bool {
    let after_count = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_dice = after_count
        .strip_prefix(['d', 'D'])
        .is_some_and(|sides| !sides.is_empty() && sides.bytes().all(|b| b.is_ascii_digit()));
    is_dice || ["roll", "sample", "random", "rand"].iter().any(|name| word.eq_ignore_ascii_case(name))
}
