//! Volumes, whatever instances and pools do.

use super::*;

#[test]
fn a_volume_pays_from_its_creation_to_the_last_look_that_saw_it() {
    let volume = |at, volume| Look { volume, ..nothing(at) };
    for (created, gib_s) in [(Some(104), 2 * 16), (Some(50), 2 * 20), (None, 2 * 20), (Some(999), 2 * 20)] {
        let looks = [
            nothing(100),
            volume(110, Some((2, created))),
            volume(120, Some((2, created))),
            nothing(130),
            nothing(140),
        ];
        let all = outcomes(&looks);
        assert_eq!(billed(&all).gib_s, gib_s, "{created:?}");
        let last = &all[3].readings.volumes[0];
        assert!(!last.exists && last.capacity_bytes == 0 && all[4].readings.volumes.is_empty());
    }
    // Adopted, grown, deleted and made again under the same name.
    let looks = [
        volume(100, Some((2, None))),
        volume(110, Some((4, None))),
        nothing(120),
        volume(130, Some((1, Some(125)))),
    ];
    assert_eq!(billed(&outcomes(&looks)).gib_s, 20 + 5);
}

#[test]
fn storage_that_cannot_be_listed_makes_no_volume_vanish() {
    let seen = Look { volume: Some((1, None)), ..nothing(100) };
    let mut state = State::new(Uuid::from_u128(1));
    let node_id = NodeId::from_uuid(Uuid::nil());
    let _ = observe(node_id, &mut state, &seen.observation());
    let blind = Observation { volumes: None, ..nothing(110).observation() };
    let outcome = observe(node_id, &mut state, &blind);
    assert_eq!(outcome.readings.volumes, []);
    assert_eq!(outcome.gaps[0].device.as_deref(), Some("volumes"));
    let again = Look { at: 120, ..seen };
    let outcome = observe(node_id, &mut state, &again.observation());
    assert_eq!(outcome.readings.volumes[0].registers.provisioned_kib_s, 20 * GIB / 1_024);
}
