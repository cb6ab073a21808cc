//! What a seed draws before its run begins: the bounds of the system, who is there, and how often each fault happens.
//! Most faults are absent from most seeds, so that the others get deep (swarm testing); some seeds have none at all, and
//! there every request must be made exactly once.

use std::time::Duration;

use callboard_actors::Limits;
use callboard_domain::event::TurnLimits;

use crate::dice::Dice;
use crate::fault::Fault;

/// The draw of one seed.
#[derive(Debug, Clone)]
pub struct Mix {
    /// Nothing goes wrong.
    pub calm: bool,
    /// How often each fault happens where it can, per thousand, by [`Fault::ALL`].
    rates: Vec<u32>,
    pub partitions: u32,
    /// Processes that host conversations.
    pub hosts: usize,
    /// Whether there is one more, which only works for pools and syntheses.
    pub worker: bool,
    /// Whether a process that comes back takes its former identity's partitions over at once.
    pub static_members: bool,
    /// How long the group waits for a dead member.
    pub session_ms: u64,
    /// When the faults stop.
    pub faults_until_ms: u64,
    /// By process.
    pub skews_ms: Vec<i64>,
    pub turn_limits: TurnLimits,
    pub limits: Limits,
    /// Records of one delivery, at most.
    pub batch_records: usize,
}

impl Mix {
    #[must_use]
    pub fn draw(dice: &mut Dice) -> Self {
        let calm = dice.happens(120);
        let hosts = dice.between(1, 2) as usize;
        let skewed = !calm && dice.happens(400);
        // Within what the ledger allows for between any two machines.
        let skew = |dice: &mut Dice| if skewed { dice.between(0, 2_000) as i64 - 1_000 } else { 0 };
        let mut rates: Vec<u32> = Fault::ALL.iter().map(|fault| rate(dice, *fault, calm)).collect();
        if skewed {
            rates[Fault::ClockSkewed as usize] = 1_000;
        }
        Self {
            calm,
            rates,
            partitions: dice.between(1, 3) as u32,
            hosts,
            worker: dice.happens(300),
            static_members: dice.happens(600),
            session_ms: dice.between(1_000, 8_000),
            faults_until_ms: if calm { 5_000 } else { dice.between(6_000, 30_000) },
            skews_ms: (0..=hosts).map(|_| skew(dice)).collect(),
            turn_limits: TurnLimits {
                planning_timeout_ms: dice.between(8_000, 20_000),
                synthesis_timeout_ms: dice.between(8_000, 20_000),
                turn_timeout_ms: dice.between(25_000, 60_000),
                max_rounds: dice.between(1, 4) as u32,
            },
            limits: limits(dice, calm),
            batch_records: if calm { 512 } else { dice.between(1, 12) as usize },
        }
    }

    /// How often `fault` happens, per thousand.
    #[must_use]
    pub fn rate(&self, fault: Fault) -> u32 {
        self.rates[fault as usize]
    }

    /// Whether this seed has the fault at all.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.rate(fault) > 0
    }
}

/// For faults of calls: how many calls of a thousand. For what the adversary does by itself: how likely it is chosen.
fn rate(dice: &mut Dice, fault: Fault, calm: bool) -> u32 {
    let present = dice.happens(450);
    let often = match fault {
        Fault::AppendFull | Fault::LogAway | Fault::StoreFailed | Fault::FlushUnreported => {
            dice.between(5, 80)
        }
        Fault::AppendDropped | Fault::AppendUnknown | Fault::AppendComesLater | Fault::AppendLate => {
            dice.between(5, 60)
        }
        Fault::AppendDelayed | Fault::ReadDelayed | Fault::StoreSlow => dice.between(20, 400),
        Fault::ReadTwice | Fault::CommitLost => dice.between(20, 300),
        Fault::RecordCopied | Fault::AppendTwice => dice.between(5, 60),
        Fault::ToolHung | Fault::ModelHung => dice.between(10, 80),
        Fault::ToolPanicked | Fault::ModelPanicked => dice.between(10, 60),
        Fault::ModelFailed | Fault::ModelNonsense => dice.between(10, 100),
        Fault::ClockSkewed => 0,
        _ => dice.between(50, 300),
    };
    if present && !calm { often as u32 } else { 0 }
}

fn limits(dice: &mut Dice, calm: bool) -> Limits {
    let ms = Duration::from_millis;
    let small = !calm && dice.happens(700);
    let bound = |dice: &mut Dice, few: u64, many: usize| {
        if small { dice.between(1, few) as usize } else { many }
    };
    Limits {
        commands_in_flight: bound(dice, 6, 64),
        requests_in_flight: bound(dice, 8, 64),
        // Where nothing goes wrong, nothing waits for longer than its lease either.
        workers_per_pool: if calm { 64 } else { dice.between(2, 5) as usize },
        synthesis_workers: if calm { 32 } else { dice.between(1, 3) as usize },
        planner_calls: if calm { 32 } else { dice.between(1, 4) as usize },
        planner_queue: bound(dice, 4, 64),
        live_conversations: bound(dice, 3, 1_000),
        passivate_after: ms(dice.between(500, 8_000)),
        flush_every: ms(dice.between(100, 1_500)),
        flush_conversations: bound(dice, 3, 1_000),
        catch_up_states: bound(dice, 4, 1_000),
        lease_margin: ms(dice.between(1_000, 4_000)),
        append_timeout: ms(dice.between(2_000, 8_000)),
        claim: ms(dice.between(500, 5_000)),
        breaker_failures: dice.between(3, 12) as u32,
        breaker_pause: ms(dice.between(200, 3_000)),
        ..Limits::default()
    }
}
