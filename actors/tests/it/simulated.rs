//! What the simulation has found, as stories (`docs/SIMULATION.md`).

use callboard_actors::Limits;
use callboard_ports::fakes::Gate;

use crate::world::{Cast, World, pass, story};

#[test]
fn a_full_planner_queue_is_asked_again_after_a_pause_not_in_a_loop() {
    // Seed 9: whoever was refused asked again in the same instant, and the clock never moved on.
    story(|| async {
        let gate = Gate::closed();
        let limits = Limits { planner_calls: 1, planner_queue: 1, ..Cast::default().limits };
        let world = World::with(Cast { planner_gate: Some(gate.clone()), limits, ..Cast::default() });
        let node = world.start();
        for i in 0..6 {
            world.say(&format!("c{i}"), "k1", "one").await;
        }
        pass(5).await;
        gate.open();
        for i in 0..6 {
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
    });
}

#[test]
fn askers_whose_turn_is_over_do_not_hold_up_those_who_wait_behind_them() {
    // Seed 6457 of a hundred thousand: a full planner queue let one refused asker go for each call that ended. Those whose turn
    // had been cancelled meanwhile used that up, and whoever stood behind them waited for a call that never came.
    story(|| async {
        let gate = Gate::closed();
        let limits = Limits { planner_calls: 1, planner_queue: 1, ..Cast::default().limits };
        let world = World::with(Cast { planner_gate: Some(gate.clone()), limits, ..Cast::default() });
        let node = world.start();
        for i in 0..6 {
            world.say(&format!("c{i}"), "k1", "one").await;
        }
        pass(1).await;
        for i in 2..6 {
            world.reset(&format!("c{i}"), "r1").await;
        }
        pass(1).await;
        gate.open();
        for i in 0..2 {
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        gate.close();
        for i in 6..9 {
            world.say(&format!("c{i}"), "k1", "one").await;
        }
        pass(1).await;
        gate.open();
        for i in 6..9 {
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
    });
}
