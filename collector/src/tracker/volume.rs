//! Volumes: what is promised is held from the file's creation to its deletion, whatever instances do.

use metering::{NodeId, VolumeFacts, VolumeId, VolumeReading, VolumeRegisters};

use super::state::{Mark, State, VolumeTrack};
use super::{Birth, MAX_FIGURE, Outcome};
use crate::observation::ObservedVolume;

/// All volumes of a look, and those that were there before and are not any more.
pub(super) fn observe_all(
    node_id: NodeId,
    state: &mut State,
    now: Mark,
    all: &[ObservedVolume],
    outcome: &mut Outcome,
) {
    let mut before = std::mem::take(&mut state.volumes);
    for observed in all {
        let volume_id = VolumeId::of(node_id, &observed.pool, &observed.name);
        let track = before.remove(&volume_id);
        let is_new = track.is_none();
        let mut track = track.unwrap_or_else(|| begin(state, now, volume_id, observed));
        if is_new || track.instance_id != observed.instance_id {
            track.instance_id = observed.instance_id;
            outcome.volumes.push(VolumeFacts {
                volume_id,
                pool: observed.pool.clone(),
                name: observed.name.clone(),
                instance_id: observed.instance_id,
            });
        }
        track.path = observed.path.clone().or(track.path);
        hold(&mut track, now, observed);
        if let Some(capacity_bytes) = track.capacity_bytes {
            let reading = reading(volume_id, &track, now, true, capacity_bytes);
            outcome.readings.volumes.push(reading);
        }
        state.volumes.insert(volume_id, track);
    }
    // When it was deleted is not known: its time counts until it was last seen.
    for (volume_id, track) in before {
        let reading = reading(volume_id, &track, now, false, 0);
        outcome.readings.volumes.push(reading);
    }
    state.last_volumes = Some(now);
}

fn begin(state: &mut State, now: Mark, volume_id: VolumeId, observed: &ObservedVolume) -> VolumeTrack {
    let mut birth = Birth::of(now, state.last_volumes, None);
    let created_at = observed.created_at.filter(|created_at| {
        birth.born_at.is_some_and(|earliest| earliest < *created_at) && *created_at <= now.wall
    });
    if let Some(created_at) = created_at {
        let created = Mark { wall: created_at, ..now };
        let age = std::time::Duration::try_from(now.wall.duration_since(created.wall)).unwrap_or_default();
        birth = Birth { born_at: Some(created_at), held_from: now.before(age) };
    }
    VolumeTrack {
        pool: observed.pool.clone(),
        name: observed.name.clone(),
        path: observed.path.clone(),
        instance_id: observed.instance_id,
        epoch: state.begin_epoch(birth.born_at, &[b"volume", volume_id.uuid().as_bytes()]),
        held_until: birth.held_from,
        capacity_bytes: None,
        provisioned: Default::default(),
    }
}

/// What was held until now, and what is held from now on.
fn hold(track: &mut VolumeTrack, now: Mark, observed: &ObservedVolume) {
    track.hold_until(now);
    let was_known = track.capacity_bytes.is_some();
    let capacity_bytes = observed.capacity_bytes.filter(|capacity| *capacity <= MAX_FIGURE);
    track.capacity_bytes = capacity_bytes.or(track.capacity_bytes);
    if !was_known {
        // The size that it has now it had since its birth.
        track.hold_until(now);
    }
}

fn reading(
    volume_id: VolumeId,
    track: &VolumeTrack,
    now: Mark,
    exists: bool,
    capacity_bytes: u64,
) -> VolumeReading {
    VolumeReading {
        volume_id,
        observed_at: now.wall,
        epoch: track.epoch.into(),
        exists,
        capacity_bytes,
        registers: VolumeRegisters { provisioned_kib_s: track.provisioned.value().min(MAX_FIGURE) },
    }
}
