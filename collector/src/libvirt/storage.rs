//! Which volumes there are: those of the pools, and the disks of domains by their path.
//!
//! Why both: libvirt lists a file that was not made through it only after a refresh, which is a right that a
//! read-only connection does not have. And why a memory: a volume exists as long as its file does, whether or
//! not its pool is active or its domain defined.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use metering::{InstanceId, micros};

use super::ffi::PoolRecord;
use super::xml;
use crate::observation::ObservedVolume;

/// A volume's pool and name.
pub type VolumeKey = (String, String);

/// A domain's disk that may be a volume.
#[derive(Clone, Debug)]
pub struct DiskUse {
    /// Whose.
    pub instance_id: InstanceId,
    /// Its path, or what stands for one.
    pub source: String,
    /// Its pool and name, where the domain says them: what is off has no path yet.
    pub volume: Option<VolumeKey>,
    /// Its size, in bytes.
    pub capacity_bytes: Option<u64>,
}

/// What is remembered from look to look: where volumes lie.
#[derive(Debug, Default)]
pub struct Storage {
    known: BTreeMap<VolumeKey, PathBuf>,
}

/// The volumes of one look and the directories that hold them.
#[derive(Debug, Default)]
pub struct StorageView {
    /// The volumes.
    pub volumes: Vec<ObservedVolume>,
    /// The directories.
    pub dirs: Vec<PathBuf>,
}

impl Storage {
    /// Starts with what an earlier life knew.
    pub fn new(known: BTreeMap<VolumeKey, PathBuf>) -> Self {
        Self { known }
    }

    /// Puts together what the pools list, what domains use and what is remembered.
    pub fn view(&mut self, pools: &[PoolRecord], uses: &[DiskUse]) -> StorageView {
        let pool_dirs = pool_dirs(pools);
        let mut found: BTreeMap<VolumeKey, ObservedVolume> = pools.iter().flat_map(listed).collect();
        let mut by_path: BTreeMap<PathBuf, VolumeKey> = BTreeMap::new();
        for (key, volume) in &found {
            if let Some(path) = &volume.path {
                by_path.insert(path.clone(), key.clone());
            }
        }
        for disk in uses {
            let path = PathBuf::from(&disk.source);
            let named = by_path.get(&path).cloned().or_else(|| disk.volume.clone());
            let key = named.unwrap_or_else(|| self.name_of(&path, &pool_dirs));
            by_path.insert(path.clone(), key.clone());
            let volume = found.entry(key.clone()).or_insert_with(|| volume_at(&key, path));
            volume.instance_id = volume.instance_id.or(Some(disk.instance_id));
            volume.capacity_bytes = volume.capacity_bytes.or(disk.capacity_bytes);
        }
        self.add_remembered(&mut found, &by_path);
        self.known =
            found.iter().filter_map(|(key, volume)| Some((key.clone(), volume.path.clone()?))).collect();
        let dirs = dirs(&pool_dirs, &found);
        StorageView { volumes: found.into_values().collect(), dirs }
    }

    /// The name of a disk that no pool lists: the one it had, else its place in a pool's directory, else its
    /// path.
    fn name_of(&self, path: &Path, pool_dirs: &BTreeMap<PathBuf, String>) -> VolumeKey {
        if let Some((key, _)) = self.known.iter().find(|(_, known)| *known == path) {
            return key.clone();
        }
        let in_pool = || {
            let pool = pool_dirs.get(path.parent()?)?;
            Some((pool.clone(), path.file_name()?.to_str()?.to_owned()))
        };
        in_pool().unwrap_or_else(|| (String::new(), path.to_string_lossy().into_owned()))
    }

    fn add_remembered(
        &self,
        found: &mut BTreeMap<VolumeKey, ObservedVolume>,
        by_path: &BTreeMap<PathBuf, VolumeKey>,
    ) {
        for (key, path) in &self.known {
            let is_known_otherwise = found.contains_key(key) || by_path.contains_key(path);
            if !is_known_otherwise && path.exists() {
                found.insert(key.clone(), volume_at(key, path.clone()));
            }
        }
    }
}

/// The volumes that a pool lists, without those whose file is gone.
fn listed(pool: &PoolRecord) -> Vec<(VolumeKey, ObservedVolume)> {
    let volumes = pool.volumes.as_deref().unwrap_or_default();
    volumes
        .iter()
        .filter_map(|record| {
            let key = (pool.name.clone(), record.name.clone());
            let path = PathBuf::from(&record.path);
            if record.capacity_bytes.is_none() && path.is_absolute() && !path.exists() {
                return None;
            }
            let mut volume = volume_at(&key, path);
            volume.capacity_bytes = record.capacity_bytes;
            Some((key, volume))
        })
        .collect()
}

fn volume_at((pool, name): &VolumeKey, path: PathBuf) -> ObservedVolume {
    ObservedVolume {
        pool: pool.clone(),
        name: name.clone(),
        created_at: created_at(&path),
        path: path.is_absolute().then_some(path),
        capacity_bytes: None,
        instance_id: None,
    }
}

/// When a file was made; where the file system does not keep that, when it was last written.
fn created_at(path: &Path) -> Option<Timestamp> {
    let metadata = std::fs::metadata(path).ok()?;
    let time = metadata.created().or_else(|_| metadata.modified()).ok()?;
    Timestamp::try_from(time).ok().map(micros)
}

fn pool_dirs(pools: &[PoolRecord]) -> BTreeMap<PathBuf, String> {
    let dir_of = |pool: &PoolRecord| match xml::parse_pool_dir(&pool.xml) {
        Ok(dir) => dir.map(|dir| (PathBuf::from(dir), pool.name.clone())),
        Err(error) => {
            tracing::warn!(pool = pool.name, %error, "a storage pool's description cannot be read");
            None
        }
    };
    pools.iter().filter_map(dir_of).collect()
}

fn dirs(pool_dirs: &BTreeMap<PathBuf, String>, found: &BTreeMap<VolumeKey, ObservedVolume>) -> Vec<PathBuf> {
    let parents = found.values().filter_map(|volume| Some(volume.path.as_ref()?.parent()?.to_owned()));
    let all: BTreeSet<PathBuf> = pool_dirs.keys().cloned().chain(parents).collect();
    all.into_iter().collect()
}
