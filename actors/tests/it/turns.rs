//! Turns from question to answer, through the log.

use callboard_ports::fakes::Gate;
use callboard_ports::record::Topic;

use crate::world::{World, story, until};

#[test]
fn a_question_becomes_a_plan_its_steps_run_and_an_answer_is_written() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one; two; three").await;
        let turn = world.ended(&node, "c1", "k1").await;
        assert_eq!((turn.status, turn.answer.as_deref(), turn.turn), ("answered", Some("done"), 1));
        let kinds: Vec<String> = world.events("c1").into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(
            kinds,
            [
                "UserQueryReceived",
                "PlanGenerated",
                "ToolInvocationResulted",
                "ToolInvocationResulted",
                "ToolInvocationResulted",
                "FinalAnswerSynthesized"
            ]
        );
        assert_eq!(world.log.records(Topic::ToolInvocationRequests).len(), 3);
        assert_eq!(world.log.records(Topic::SynthesisRequests).len(), 1);
        assert_eq!(world.tool.calls(), 3);
        assert_eq!(world.audit("c1").answered, 1);
    });
}

#[test]
fn messages_sent_while_a_turn_runs_are_answered_in_order() {
    story(|| async {
        let gate = Gate::closed();
        let world = World::with_gates(Some(&gate), None);
        let node = world.start();
        for command in ["k1", "k2", "k3"] {
            world.say("c1", command, "hello").await;
        }
        until("three turns are accepted", || world.count("c1", "UserQueryReceived") == 3).await;
        assert_eq!(world.count("c1", "PlanGenerated"), 1);
        gate.open();
        for (number, command) in ["k1", "k2", "k3"].into_iter().enumerate() {
            assert_eq!(world.ended(&node, "c1", command).await.turn as usize, number + 1);
        }
        let answers: Vec<u64> = world
            .events("c1")
            .iter()
            .filter(|(kind, _)| kind == "FinalAnswerSynthesized")
            .map(|(_, record)| record.offset)
            .collect();
        assert!(answers.is_sorted());
        assert_eq!(world.audit("c1").answered, 3);
    });
}

#[test]
fn the_same_command_twice_is_one_turn() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "hello").await;
        world.say("c1", "k1", "hello").await;
        world.ended(&node, "c1", "k1").await;
        world.say("c1", "k1", "hello").await;
        world.say("c1", "k2", "again").await;
        world.ended(&node, "c1", "k2").await;
        assert_eq!(world.count("c1", "UserQueryReceived"), 2);
        assert_eq!(world.tool.calls(), 2);
        assert_eq!(world.audit("c1").turns, 2);
    });
}
