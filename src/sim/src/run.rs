//! One run: a seed, a thread, a paused clock, a verdict.

use std::cell::RefCell;

use callboard_domain::audit::{Report, Violation};
use callboard_domain::id::ConversationId;
use callboard_domain::planted::Defect;
use tokio::task::LocalSet;

use crate::dice::Dice;
use crate::director::Director;
use crate::gateway::Gateway;
use crate::judge::{Ledgered, judge, live_states};
use crate::mix::Mix;
use crate::models::MODEL_PANIC;
use crate::tools::TOOL_PANIC;
use crate::workload;
use crate::world::World;

/// What came of a seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub seed: u64,
    /// Of the trace: two runs of one seed have the same.
    pub hash: u64,
    pub entries: u64,
    /// Faults, by [`crate::Fault::ALL`].
    pub faults: Vec<u32>,
    pub report: Report,
    pub ledger: Ledgered,
    pub violations: Vec<Violation>,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
}

thread_local! {
    /// Panics of this thread's run that nobody ordered.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Threads of this name keep their panics to themselves: actors are told to panic here all the time.
pub const THREAD: &str = "callboard-sim";

/// Makes panics of simulation threads silent and remembers those that nobody ordered. Once per process.
pub fn listen_to_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)) {
                return usual(panic);
            }
            let words = panic.to_string();
            const ORDERED: [&str; 3] = ["was told to panic by the chaos endpoint", TOOL_PANIC, MODEL_PANIC];
            if !ORDERED.iter().any(|ordered| words.contains(ordered)) {
                PANICS.with_borrow_mut(|panics| panics.push(words));
            }
        }));
    });
}

/// Panics of this thread since they were last taken.
pub fn take_panics() -> Vec<String> {
    PANICS.take()
}

/// Switches a defect on for this thread; says whether this build can.
fn plant(defect: Option<Defect>) -> bool {
    #[cfg(feature = "planted")]
    {
        callboard_domain::planted::switch(defect);
        true
    }
    #[cfg(not(feature = "planted"))]
    defect.is_none()
}

/// Runs a seed in this thread; `printed`: with its trace, as it happens.
///
/// # Panics
/// When the simulation itself is broken, and when a defect is asked for that this build does not have.
#[must_use]
pub fn run(seed: u64, defect: Option<Defect>, printed: bool) -> Outcome {
    assert!(
        plant(None) && (defect.is_none() || cfg!(feature = "planted")),
        "this build has no planted defects"
    );
    take_panics();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread can be built");
    let outcome = LocalSet::new().block_on(&runtime, live(seed, defect, printed));
    plant(None);
    outcome
}

async fn live(seed: u64, defect: Option<Defect>, printed: bool) -> Outcome {
    let mut dice = Dice::new(seed);
    let mix = Mix::draw(&mut dice);
    let asks = workload::draw(&mut dice, &mix);
    let world = World::new(seed, mix, dice, printed);
    let gateway = Gateway::open(&world);
    let mut director = Director::new(&world, gateway);
    plant(defect);
    director.play(asks).await;
    director.rest().await;
    let live = live_states(&director).await;
    // The judge folds by the book.
    plant(None);
    let mut verdict = judge(&director, &live);
    verdict.violations.extend(take_panics().into_iter().map(|detail| Violation {
        invariant: "nobody_panics_unasked",
        conversation: ConversationId::new("nobody").expect("letters are an id"),
        detail,
    }));
    let trace = world.trace();
    Outcome {
        seed,
        hash: trace.hash(),
        entries: trace.entries(),
        faults: trace.counts().to_vec(),
        report: verdict.report,
        ledger: verdict.ledger,
        violations: verdict.violations,
        virtual_ms: world.now_ms(),
    }
}
