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
