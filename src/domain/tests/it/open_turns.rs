//! What is open, for people: each way to stand, what is in doubt or in back-off, and turns that ended with a doubt.

use callboard_domain::command::{Command, HistoryReset};
use callboard_domain::event::{ApprovalRequested, Event};
use callboard_domain::open_turns::{OpenStatus, OpenTurn, briefs, open_turns, tool_bit};
use callboard_domain::plan::EffectClass::{Pure, Unsafe};

use crate::plan_laws::planned;
use crate::world::hand::{Hand, cancelled, done, doubt, effect, failed, id, ok, plan, settled, unavailable};
use crate::world::{START_MS, query, turn_id};

fn found(hand: &Hand) -> Vec<OpenTurn> {
    open_turns(&hand.state, hand.now)
}

fn statuses(hand: &Hand) -> Vec<(u32, &'static str, bool)> {
    found(hand).iter().map(|turn| (turn.turn, turn.status.as_str(), turn.ended)).collect()
}

#[test]
fn a_turn_is_seen_through_every_way_to_stand() {
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.command(turn_id(1).as_str(), Command::UserQueryReceived(query("another")));
    assert_eq!(statuses(&hand), [(1, "planning", false), (2, "queued", false)]);
    hand.hears([plan(1, &[("a", Unsafe), ("b", Pure)])]);
    let only = |hand: &Hand| statuses(hand)[0].1;
    assert_eq!(only(&hand), "running");
    hand.hears([unavailable("b", 1), doubt("a", 1)]);
    assert_eq!(only(&hand), "in_doubt", "what a person must see comes before what mends itself");
    assert_eq!(
        (found(&hand)[0].in_doubt.clone(), found(&hand)[0].backing_off.clone()),
        (vec![effect(0, "a")], vec![effect(0, "b")])
    );
    hand.hears([settled("a", 1, done("1"))]);
    assert_eq!(only(&hand), "backing_off");
    assert!(found(&hand)[0].retry_at.is_some());
    hand.wait(2_000);
    assert_eq!((only(&hand), found(&hand)[0].retry_at.clone()), ("running", None));
    hand.hears([ok("b", 2, "1")]);
    assert_eq!((only(&hand), found(&hand)[0].tools.len()), ("synthesizing", 0));
    hand.command("reset", Command::UserHistoryReset(HistoryReset { by: None }));
    assert_eq!(statuses(&hand), [(1, "ending", false), (2, "ending", false)]);
    hand.follow_due();
    assert_eq!(found(&hand), []);
}

#[test]
fn a_step_that_waits_for_a_person_is_seen() {
    let Event::PlanGenerated(mut plan) = plan(1, &[("a", Unsafe), ("b", Pure)]) else {
        unreachable!("a plan")
    };
    plan.steps[0].policy.needs_approval = true;
    let mut hand = Hand { state: planned(Some(plan)), now: START_MS };
    hand.hears([Event::ApprovalRequested(ApprovalRequested {
        version: 1,
        step: id("a"),
        timeout_ms: 1_000,
    })]);
    let brief = |hand: &Hand| briefs(&hand.state, hand.now)[0];
    assert_eq!(statuses(&hand), [(1, "running", false)], "b is");
    assert_eq!((brief(&hand).approvals, brief(&hand).approval_since_ms), (1, Some(START_MS)));
    assert_eq!(found(&hand)[0].awaiting_approval, [effect(0, "a")]);
    hand.hears([ok("b", 1, "1")]);
    assert_eq!(statuses(&hand), [(1, "awaiting_approval", false)]);
    hand.command("reset", Command::UserHistoryReset(HistoryReset { by: None }));
    assert_eq!((brief(&hand).approvals, found(&hand)[0].awaiting_approval.len()), (0, 0), "it is ending");
}

#[test]
fn a_turn_that_ended_with_a_doubt_is_open_until_it_is_settled() {
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Unsafe), ("c", Pure)]);
    hand.hears([doubt("a", 1), failed()]);
    let turns = found(&hand);
    assert_eq!((turns.len(), turns[0].status, turns[0].ended), (1, OpenStatus::InDoubt, true));
    assert_eq!((&turns[0].command_id, turns[0].received_ms), (&turn_id(0), START_MS));
    assert_eq!((turns[0].in_doubt.clone(), turns[0].tools.len()), (vec![effect(0, "a")], 1), "echo, once");
    hand.turn(1, &[("a", Pure)]);
    assert_eq!(statuses(&hand), [(1, "in_doubt", true), (2, "running", false)], "oldest first");
    hand.hears([settled("a", 1, done("1"))]);
    assert_eq!(statuses(&hand), [(2, "running", false)], "what is only being called off needs nobody");
    hand.hears([doubt("b", 1)]);
    assert_eq!(statuses(&hand).len(), 2);
}

#[test]
fn a_cancelled_turn_is_not_open_while_its_steps_are_called_off() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([cancelled()]);
    assert_eq!(found(&hand), []);
    assert_eq!(briefs(&hand.state, hand.now), []);
}

#[test]
fn briefs_say_the_same_in_a_few_bytes() {
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Unsafe), ("c", Pure)]);
    hand.hears([doubt("a", 1), doubt("b", 1), failed()]);
    hand.turn(1, &[("a", Pure)]);
    let (long, short) = (found(&hand), briefs(&hand.state, hand.now));
    assert_eq!(short.len(), 2);
    for (turn, brief) in long.iter().zip(&short) {
        assert_eq!((brief.turn, brief.status, brief.received_ms), (turn.turn, turn.status, turn.received_ms));
        assert_eq!(brief.doubts as usize, turn.in_doubt.len());
        for tool in &turn.tools {
            assert_ne!(brief.tools & tool_bit(tool), 0, "{tool}");
        }
    }
}

#[test]
fn a_clock_behind_the_logs_is_the_logs() {
    let mut hand = Hand::acting(&[("a", Pure)]);
    hand.hears([unavailable("a", 1)]).wait(5_000);
    hand.ignores(failed_other(), callboard_domain::conversation::Ignored::UnknownStep);
    assert_eq!(open_turns(&hand.state, START_MS), open_turns(&hand.state, hand.now));
    assert_eq!(statuses(&hand), [(1, "running", false)]);
}

fn failed_other() -> Event {
    ok("nobody", 1, "1")
}

#[test]
fn every_status_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> =
        OpenStatus::ALL.iter().map(|status| status.as_str()).collect();
    assert_eq!(names.len(), OpenStatus::ALL.len());
    for status in OpenStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
}
