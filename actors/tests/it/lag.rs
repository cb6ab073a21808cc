//! How far behind everybody is: the gauges say so by group and partition, and let go of what is not here any more.

use callboard_actors::{Limits, Node, Roles};
use callboard_ports::partition::partition_of;

use crate::world::{Cast, PARTITIONS, World, story, until};

/// What a group has not done yet of a partition.
pub fn lag(node: &Node, group: &str, partition: u32) -> Option<f64> {
    let lines = node.metrics().snapshot().into_iter();
    let wanted = [("group", group.to_owned()), ("partition", partition.to_string())];
    lines
        .filter(|line| line.name == "callboard_group_lag" && line.labels == wanted)
        .map(|line| line.value)
        .next()
}

#[test]
fn lag_is_known_by_group_and_partition() {
    story(|| async {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { commands_in_flight: 4, ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node =
            world.start_as(Roles { history: Some(folder.path().join("history.json")), ..World::roles() });
        let ours = partition_of(b"c1", PARTITIONS);
        for i in 0..40 {
            world.say("c1", &format!("k{i}"), "slow one").await;
        }
        let of_host = || lag(&node, "callboard-host", ours);
        until("commands are decided one by one", || of_host() == Some(0.0)).await;
        until("the pool has one in hand", || {
            (0..PARTITIONS).any(|p| lag(&node, "callboard-pool-default", p) == Some(1.0))
        })
        .await;
        until("the history keeps up", || lag(&node, "callboard-history", ours) == Some(0.0)).await;
        assert_eq!(lag(&node, "callboard-synthesis", ours), Some(0.0));

        node.stop(std::time::Duration::from_secs(10)).await;
        assert!(!node.readiness().ready);
        world.slow_gate.open();
    });
}

#[test]
fn a_host_that_cannot_keep_up_shows_it() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        until("it is ready", || node.readiness().ready).await;
        world.log.interrupt(Some(callboard_ports::log::AppendError::Full));
        let ours = partition_of(b"c1", PARTITIONS);
        // Appended past the interruption, as by a gateway elsewhere.
        world.log.interrupt(None);
        for i in 0..20 {
            world.say("c1", &format!("k{i}"), "one").await;
        }
        world.log.interrupt(Some(callboard_ports::log::AppendError::Full));
        until("the lag is seen", || lag(&node, "callboard-host", ours).is_some_and(|lag| lag >= 10.0)).await;
        assert!(crate::check::metric(&node, "callboard_refusals", Some("append_queue")) > 0.0);
        world.log.interrupt(None);
        until("it is worked off", || lag(&node, "callboard-host", ours) == Some(0.0)).await;
    });
}
