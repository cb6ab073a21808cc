//! What the outside does in a simulated world: what is asked when, what planner, tools and synthesizer
//! answer. Plain data with proptest strategies; `world::World` plays it.

use callboard_domain::plan::{EffectClass, OnFailure, Then};
use proptest::prelude::*;

/// What one attempt at a step comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Ok,
    Retryable,
    Fatal,
    /// The worker is never heard of again.
    Silent,
    /// Nobody knows, and nobody finds out.
    Doubt,
    /// Nobody knows, then somebody finds out that it happened.
    DoubtDone,
    /// Nobody knows, then somebody finds out that it did not happen.
    DoubtNotDone,
}

/// What a person says to a step that asks for approval, after so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Approve(u64),
    /// With other arguments.
    Change(u64),
    Reject(u64),
    Never,
}

#[derive(Debug, Clone)]
pub struct StepScript {
    /// Indexes of earlier steps.
    pub depends_on: Vec<usize>,
    /// Whether the dependencies are written as references in the arguments.
    pub by_reference: bool,
    pub effect: EffectClass,
    /// The first pause between attempts.
    pub backoff_ms: u64,
    pub on_failure: OnFailure,
    pub max_attempts: u32,
    pub latency_ms: u64,
    /// Attempt by attempt; Ok once they run out.
    pub replies: Vec<Reply>,
    /// `None`: it needs no approval.
    pub approval: Option<Word>,
}

#[derive(Debug, Clone)]
pub struct PlanScript {
    pub steps: Vec<StepScript>,
    pub then: Then,
    /// Whether the planner lists the steps last first.
    pub backwards: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    After(u64),
    Silent,
    TooLarge,
}

#[derive(Debug, Clone)]
pub struct TurnScript {
    /// By plan version; an empty plan once they run out.
    pub rounds: Vec<PlanScript>,
    /// `None`: the planner never answers.
    pub planner_ms: Option<u64>,
    pub answering: Answering,
}

/// What a client does. Turns are named by their index among the questions.
#[derive(Debug, Clone)]
pub enum Act {
    Ask(TurnScript),
    AskAgain(usize),
    Cancel(usize),
    Reset,
    /// Somebody says what came of a step of a first plan.
    Settle {
        turn: usize,
        step: usize,
        done: bool,
    },
    /// Somebody ends the back-off of a step of a first plan.
    RetryNow {
        turn: usize,
        step: usize,
    },
    /// Somebody else says something to a step of a first plan, whether it asks or not.
    Decide {
        turn: usize,
        step: usize,
        word: Word,
    },
}

#[derive(Debug, Clone)]
pub struct Script {
    /// With the pause before each, in milliseconds.
    pub acts: Vec<(u64, Act)>,
    pub turn_timeout_ms: u64,
    pub max_rounds: u32,
    /// Each plan costs ten tokens and each answer five.
    pub token_budget: Option<u64>,
}

impl Script {
    /// One question with one plan.
    pub fn one(steps: Vec<StepScript>) -> Self {
        let plan = PlanScript { steps, then: Then::Answer, backwards: false };
        let turn = TurnScript { rounds: vec![plan], planner_ms: Some(30), answering: Answering::After(40) };
        Self { acts: vec![(0, Act::Ask(turn))], turn_timeout_ms: 600_000, max_rounds: 4, token_budget: None }
    }

    pub fn turns(&self) -> Vec<&TurnScript> {
        self.acts
            .iter()
            .filter_map(|(_, act)| if let Act::Ask(turn) = act { Some(turn) } else { None })
            .collect()
    }
}

/// How rough the outside is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Tools may fail, but everybody answers in time and nobody interferes: every timing ends the same.
    Calm,
    /// Silence, doubt, cancels, resets, deadlines.
    Wild,
}

fn reply(mood: Mood) -> BoxedStrategy<Reply> {
    let calm = prop_oneof![5 => Just(Reply::Ok), 2 => Just(Reply::Retryable), 1 => Just(Reply::Fatal)];
    if mood == Mood::Calm {
        return calm.boxed();
    }
    let rough = prop_oneof![
        Just(Reply::Silent),
        Just(Reply::Doubt),
        Just(Reply::DoubtDone),
        Just(Reply::DoubtNotDone)
    ];
    prop_oneof![4 => calm, 1 => rough].boxed()
}

fn on_failure() -> impl Strategy<Value = OnFailure> {
    prop_oneof![1 => Just(OnFailure::Fail), 2 => Just(OnFailure::Skip), 2 => Just(OnFailure::Replan)]
}

fn effect() -> impl Strategy<Value = EffectClass> {
    prop_oneof![
        3 => Just(EffectClass::Pure),
        1 => Just(EffectClass::Idempotent),
        1 => Just(EffectClass::Reconcilable),
        3 => Just(EffectClass::Unsafe)
    ]
}

fn word(mood: Mood) -> BoxedStrategy<Word> {
    let said = (0..3, 1_u64..2_000).prop_map(|(which, ms)| match which {
        0 => Word::Approve(ms),
        1 => Word::Change(ms),
        _ => Word::Reject(ms),
    });
    if mood == Mood::Calm {
        return said.boxed();
    }
    // Some words come after the timeout, some when the turn's clock would long have run out.
    let late = (5_000_u64..90_000).prop_map(Word::Approve);
    prop_oneof![4 => said, 1 => late, 1 => Just(Word::Never)].boxed()
}

pub fn step(mood: Mood) -> impl Strategy<Value = StepScript> {
    let replies = prop::collection::vec(reply(mood), 0..3);
    // Long enough, in the wild, that somebody may end it by hand.
    let backoff_ms =
        if mood == Mood::Calm { Just(100).boxed() } else { prop_oneof![Just(100), Just(4_000)].boxed() };
    let approval = prop_oneof![6 => Just(None), 1 => word(mood).prop_map(Some)];
    let policy = (effect(), backoff_ms, on_failure(), approval);
    (any::<u8>(), any::<bool>(), policy, 1_u32..=3, 1_u64..900, replies).prop_map(
        |(mask, by_reference, policy, max_attempts, latency_ms, replies)| {
            let (effect, backoff_ms, on_failure, approval) = policy;
            StepScript {
                // Sparse, so that most plans have steps side by side.
                depends_on: (0..6).filter(|bit| mask & (mask >> 2) & (1 << bit) != 0).collect(),
                by_reference,
                effect,
                backoff_ms,
                on_failure,
                max_attempts,
                latency_ms,
                replies,
                approval,
            }
        },
    )
}

pub fn plan(mood: Mood) -> impl Strategy<Value = PlanScript> {
    let then = prop_oneof![Just(Then::Answer), Just(Then::Continue)];
    (prop::collection::vec(step(mood), 0..=6), then, any::<bool>()).prop_map(
        |(mut steps, then, backwards)| {
            for (i, step) in steps.iter_mut().enumerate() {
                step.depends_on.retain(|earlier| *earlier < i);
            }
            PlanScript { steps, then, backwards }
        },
    )
}

fn turn(mood: Mood) -> impl Strategy<Value = TurnScript> {
    let planner = match mood {
        Mood::Calm => (1_u64..300).prop_map(Some).boxed(),
        Mood::Wild => prop_oneof![9 => (1_u64..300).prop_map(Some), 1 => Just(None)].boxed(),
    };
    let answering = match mood {
        Mood::Calm => (1_u64..300).prop_map(Answering::After).boxed(),
        Mood::Wild => prop_oneof![
            12 => (1_u64..300).prop_map(Answering::After),
            2 => Just(Answering::Silent),
            1 => Just(Answering::TooLarge)
        ]
        .boxed(),
    };
    (prop::collection::vec(plan(mood), 1..=4), planner, answering)
        .prop_map(|(rounds, planner_ms, answering)| TurnScript { rounds, planner_ms, answering })
}

/// An index that is mostly the first.
fn few() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(0_usize), 1 => 0_usize..3]
}

pub fn script(mood: Mood) -> impl Strategy<Value = Script> {
    let ask = turn(mood).prop_map(Act::Ask);
    let act = match mood {
        Mood::Calm => prop_oneof![4 => ask, 1 => (0_usize..3).prop_map(Act::AskAgain)].boxed(),
        Mood::Wild => prop_oneof![
            6 => ask,
            1 => (0_usize..4).prop_map(Act::AskAgain),
            2 => (0_usize..4).prop_map(Act::Cancel),
            1 => Just(Act::Reset),
            3 => (0_usize..3, 0_usize..4, any::<bool>())
                .prop_map(|(turn, step, done)| Act::Settle { turn, step, done }),
            5 => (few(), few()).prop_map(|(turn, step)| Act::RetryNow { turn, step }),
            2 => (few(), 0_usize..4, word(mood)).prop_map(|(turn, step, word)| Act::Decide { turn, step, word })
        ]
        .boxed(),
    };
    let timeout = if mood == Mood::Calm { 600_000..600_001_u64 } else { 2_000..40_000 };
    let first = turn(mood).prop_map(|turn| (0, Act::Ask(turn)));
    // A doubt that the deadline brings comes after eight seconds: some acts come later.
    let gap = if mood == Mood::Calm {
        (0_u64..3_000).boxed()
    } else {
        prop_oneof![3 => 0_u64..3_000, 1 => 3_000_u64..12_000].boxed()
    };
    let budget = if mood == Mood::Calm {
        Just(None).boxed()
    } else {
        prop_oneof![4 => Just(None), 1 => (5_u64..60).prop_map(Some)].boxed()
    };
    (first, prop::collection::vec((gap, act), 0..6), timeout, 1_u32..=4, budget).prop_map(
        |(first, mut acts, turn_timeout_ms, max_rounds, token_budget)| {
            acts.insert(0, first);
            Script { acts, turn_timeout_ms, max_rounds, token_budget }
        },
    )
}
