//! Runs fend on threads of its own: an evaluation is blocking, recursive and, with a big enough exponent, endless.
//!
//! Called by [`super::Math`] after [`super::guards`]. A thread and not the runtime's blocking pool, because the stack
//! must have a known size; at most `threads` at once, and one that does not heed its interrupt keeps its place until
//! it ends, so that their number never grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_domain::event::ToolError;
use fend_core::Interrupt;
use tokio::sync::{Semaphore, oneshot};

/// Reserved, not resident: 1,024 bytes of `1+1+1…` recurse some 500 deep, in an unoptimised build too.
const STACK_BYTES: usize = 64 * 1024 * 1024;

pub(super) struct Evaluator {
    places: Arc<Semaphore>,
}

/// Tells fend to stop at an instant.
struct Until(Instant);

impl Interrupt for Until {
    fn should_interrupt(&self) -> bool {
        Instant::now() >= self.0
    }
}

impl Evaluator {
    pub fn new(threads: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(threads)) }
    }

    /// The evaluator's own words for the value of `expression`.
    pub async fn evaluate(&self, expression: String, timeout: Duration) -> Result<String, ToolError> {
        let started = Instant::now();
        let busy = |_| ToolError::new("timeout", "every evaluator thread is busy; try again later", true);
        let place = tokio::time::timeout(timeout, self.places.clone().acquire_owned()).await.map_err(busy)?;
        let place = place.map_err(|_| ToolError::new("internal", "the evaluator is closed", false))?;
        let (answer, answered) = oneshot::channel();
        let evaluation = move || {
            let mut context = fend_core::Context::new();
            let value =
                fend_core::evaluate_with_interrupt(&expression, &mut context, &Until(started + timeout));
            let value = value.map(|value| value.get_main_result().to_owned());
            drop(place);
            // Nobody waits any more when the step's time was up.
            let _ = answer.send(value);
        };
        let thread =
            std::thread::Builder::new().name("math".to_owned()).stack_size(STACK_BYTES).spawn(evaluation);
        if let Err(error) = thread {
            return Err(ToolError::new(
                "unavailable",
                format!("no thread for the evaluation: {error}"),
                true,
            ));
        }
        let out_of_time = || {
            let message = format!(
                "the expression takes more than {} ms to evaluate; make it smaller",
                timeout.as_millis()
            );
            ToolError::new("timeout", message, false)
        };
        let left = timeout.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, answered).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(_))) if started.elapsed() >= timeout => Err(out_of_time()),
            Ok(Ok(Err(why))) => Err(ToolError::new(
                "invalid_arguments",
                format!("the expression cannot be evaluated: {why}"),
                false,
            )),
            Ok(Err(_)) => Err(ToolError::new("panicked", "the evaluator gave up on this expression", false)),
            Err(_) => Err(out_of_time()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Evaluator;
    use crate::math::guards;

    /// What passes the guards and yet is made to hurt must end, and give its thread back.
    #[tokio::test]
    async fn hostile_expressions_give_their_thread_back() {
        let evaluator = Evaluator::new(1);
        let sums = vec!["1"; 512].join("+");
        let mixed = "(1)+".repeat(250) + "1";
        let powers = vec!["1"; 512].join("^");
        let signs = "-".repeat(1_000) + "1";
        let roots = "sqrt ".repeat(200) + "2";
        let products = vec!["2"; 512].join(" ");
        let nested = "(".repeat(64) + "1" + &")".repeat(64);
        let not = "not ".repeat(250) + "true";
        let factorial = "3".to_owned() + &"!".repeat(1_000);
        for hostile in [
            "9^9^9^9",
            "99999999!",
            "fib 99999999999",
            "2^(2^40)",
            "1e999999999",
            "10^10^10 to hex",
            "9^9^9 mod 7",
            "(1/3)^99999",
            "sqrt(2)^99999999",
            "e^99999",
            "1/(9^99999)",
            "ln(9^99999)",
            "sin(10^300)",
            "99999999 choose 4999999",
            "0.1^9999999",
            "5^5^5^5 to words",
            "cbrt(9^9999)",
            &sums,
            &mixed,
            &powers,
            &signs,
            &roots,
            &products,
            &nested,
            &not,
            &factorial,
        ] {
            guards::check(hostile).unwrap();
            let began = Instant::now();
            let outcome = evaluator.evaluate(hostile.to_owned(), Duration::from_millis(300)).await;
            let shown: String = hostile.chars().take(24).collect();
            assert!(
                began.elapsed() < Duration::from_secs(2),
                "{shown} took {:?}: {outcome:?}",
                began.elapsed()
            );
            let place = tokio::time::timeout(Duration::from_secs(20), evaluator.places.acquire()).await;
            assert!(place.is_ok(), "{shown} did not give its thread back");
        }
    }
}
