//! Guests by the thousand that come and go: what the memory keeps of them.

use super::*;

/// How many live between two looks of each kind.
const EACH: u128 = 50;

/// Instances of their own, as the one guest of `look` shows them.
fn crowd(look: &Look, ids: impl Iterator<Item = u128>) -> Observation {
    let one = look.observation();
    let mut observation =
        Observation { instances: Vec::new(), events: Vec::new(), ends: Vec::new(), ..one.clone() };
    for id in ids {
        let instance_id = InstanceId::from_uuid(Uuid::from_u128(id));
        observation.instances.extend(one.instances.iter().map(|seen| ObservedInstance {
            instance_id,
            name: format!("g{id}"),
            ..seen.clone()
        }));
        observation.events.extend(one.events.iter().map(|event| HypervisorEvent { instance_id, ..*event }));
        observation.ends.extend(one.ends.iter().map(|end| End { instance_id, ..end.clone() }));
    }
    observation
}

/// What the memory takes, but for its count of epochs.
fn bytes(state: &State) -> usize {
    rmp_serde::to_vec_named(&State { epochs: 0, ..state.clone() }).unwrap().len()
}

/// A minute in which guests are seen, paused, resized and plugged, live unseen, come in, go away, and end.
fn minute(state: &mut State, at: u64, first: u128) {
    let node_id = NodeId::from_uuid(Uuid::from_u128(1));
    let running = |cpu_ns| run(1, cpu_ns).disk(disk("/a", 500)).nic("vnet1", 7);
    let mut take = |look: &Look, ids: std::ops::Range<u128>| {
        let mut observation = crowd(look, ids.clone());
        observation.volumes = observation.volumes.map(|_| {
            let volume = |id: u128| ObservedVolume {
                pool: "default".into(),
                name: format!("{id}.qcow2"),
                path: None,
                capacity_bytes: Some(GIB),
                created_at: None,
                instance_id: Some(InstanceId::from_uuid(Uuid::from_u128(id))),
            };
            look.guest.iter().flat_map(|_| ids.clone().map(volume)).collect()
        });
        let _ = observe(node_id, state, &observation);
    };
    let all = first..first + EACH;
    take(&look(at, running(5)).heard(at - 1, What::Started), all.clone());
    let changed = look(at + 10, running(9).paused().vcpus(2))
        .heard(at + 2, What::Resized)
        .heard(at + 3, What::DevicesChanged)
        .heard(at + 4, What::Paused)
        .heard(at + 11, What::Resumed);
    take(&changed, all.clone());
    take(&nothing(at + 20).heard(at + 19, What::Stopped).end(1, at + 19, Some(20), Some(9)), all);
    // Heard of, and in part only after the look.
    let unseen = first + EACH..first + 2 * EACH;
    let heard = nothing(at + 30).heard(at + 22, What::Started).heard(at + 24, What::Stopped);
    take(&heard.heard(at + 31, What::Started).end(1, at + 24, Some(3), None), unseen);
    let moved = first + 2 * EACH..first + 3 * EACH;
    take(&look(at + 40, run(1, 0).moving()).heard(at + 39, What::MigratedHere), moved.clone());
    take(&look(at + 45, running(5)).heard(at + 44, What::Resumed), moved.clone());
    take(&look(at + 50, off()).heard(at + 49, What::MigratedAway), moved);
    take(&nothing(at + 55), 0..0);
}

#[test]
fn thousands_of_guests_that_came_and_went_leave_nothing_in_the_memory() {
    let mut state = State::new(Uuid::from_u128(1));
    minute(&mut state, 1_000, 1_000);
    let after_one = bytes(&state);
    for n in 1..40_u32 {
        minute(&mut state, 1_000 + 60 * u64::from(n), 1_000 + 1_000 * u128::from(n));
        assert!(state.instances.is_empty() && state.volumes.is_empty(), "{state:?}");
        assert!(state.arriving.is_empty() && state.later.is_empty(), "{state:?}");
        assert_eq!(bytes(&state), after_one);
    }
    assert!(40 * 3 * 50 < state.epochs, "{}: they were seen", state.epochs);
}
