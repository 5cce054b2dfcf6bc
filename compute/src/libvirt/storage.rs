//! The storage pool of Weir and the volumes in it.
//!
//! It makes and removes volumes of Weir's own pool only; of other pools it only reads sizes.

use metering::InstanceId;
use virt::connect::Connect;
use virt::error::ErrorNumber;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;

use super::definition::{self, DiskSource};
use super::tree::Element;
use super::{Session, failed};
use crate::error::ComputeError;
use crate::image::Image;
use crate::instance::Disk;
use crate::size::ByteSize;

impl Session {
    /// Weir's pool, defined, built and started where that is needed.
    pub(crate) fn ensure_pool(&mut self) -> Result<StoragePool, ComputeError> {
        let (name, path) =
            (self.settings.pool.clone(), self.settings.pool_path.to_string_lossy().into_owned());
        let connection = self.connection()?;
        let pool = match StoragePool::lookup_by_name(connection, &name) {
            Ok(pool) => pool,
            Err(error) if error.code() == ErrorNumber::NoStoragePool => {
                let xml = definition::pool(&name, &path).to_xml();
                StoragePool::define_xml(connection, &xml, 0)
                    .map_err(failed(format!("define the storage pool {name} at {path}")))?
            }
            Err(error) => return Err(failed(format!("look for the storage pool {name}"))(error)),
        };
        let xml = pool.get_xml_desc(0).map_err(failed(format!("read the storage pool {name}")))?;
        let tree = Element::parse(&xml).map_err(|error| ComputeError::Internal(error.to_string()))?;
        let found = tree.text_at(&["target", "path"]).unwrap_or_default();
        if tree.attribute("type") != Some("dir") || found != path {
            return Err(ComputeError::Conflict(format!(
                "the storage pool {name} exists already, but not as the directory {path} (it is at {found:?}): set another pool name, or that path"
            )));
        }
        if !pool.is_active().map_err(failed(format!("look at the storage pool {name}")))? {
            pool.build(0).map_err(failed(format!("make the directory {path} of the storage pool {name}")))?;
            pool.create(0).map_err(failed(format!("start the storage pool {name} at {path}")))?;
            pool.set_autostart(true)
                .map_err(failed(format!("make the storage pool {name} start with libvirt")))?;
        }
        Ok(pool)
    }

    /// Makes the volume behind a disk and returns its name.
    pub(crate) fn create_volume(
        &mut self,
        id: InstanceId,
        target: &str,
        capacity: ByteSize,
        backing: Option<&Image>,
    ) -> Result<String, ComputeError> {
        let pool = self.ensure_pool()?;
        let name = definition::volume_name(id, target);
        let xml = definition::volume(&name, capacity, backing).to_xml();
        StorageVol::create_xml(&pool, &xml, 0).map_err(failed(format!(
            "make the volume {name} of {capacity} in the storage pool {}",
            self.settings.pool
        )))?;
        Ok(name)
    }

    /// Whether a volume of that name lies in Weir's pool.
    pub(crate) fn has_volume(&mut self, name: &str) -> Result<bool, ComputeError> {
        let pool = self.ensure_pool()?;
        match StorageVol::lookup_by_name(&pool, name) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == ErrorNumber::NoStorageVolume => Ok(false),
            Err(error) => Err(failed(format!("look for the volume {name}"))(error)),
        }
    }

    /// Removes a volume of Weir's pool; one that is gone already is fine.
    pub(crate) fn delete_volume(&mut self, name: &str) -> Result<(), ComputeError> {
        let pool = self.ensure_pool()?;
        let gone = |code| code == ErrorNumber::NoStorageVolume;
        match StorageVol::lookup_by_name(&pool, name).and_then(|volume| volume.delete(0)) {
            Ok(()) => Ok(()),
            Err(error) if gone(error.code()) => Ok(()),
            Err(error) => Err(failed(format!("delete the volume {name}"))(error)),
        }
    }

    /// Removes every volume that was made for an instance, also one that an action which broke off left behind.
    pub(crate) fn delete_volumes_of(&mut self, id: InstanceId) -> Result<(), ComputeError> {
        let pool = self.ensure_pool()?;
        let prefix = definition::volume_prefix(id);
        let names =
            pool.list_volumes().map_err(failed(format!("list the volumes of {}", self.settings.pool)))?;
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            self.delete_volume(name)?;
        }
        Ok(())
    }
}

/// A disk with its pool, volume and size, as far as they can be found.
pub(crate) fn resolved(connection: &Connect, disk: &definition::DescribedDisk) -> Disk {
    let (pool, volume, found) = match &disk.source {
        DiskSource::Volume { pool, name } => {
            let found = StoragePool::lookup_by_name(connection, pool)
                .and_then(|found| StorageVol::lookup_by_name(&found, name))
                .ok();
            (pool.clone(), name.clone(), found)
        }
        DiskSource::Path(path) => {
            let found = StorageVol::lookup_by_path(connection, path).ok();
            let named = found.as_ref().and_then(|volume| {
                Some((StoragePool::lookup_by_volume(volume).ok()?.get_name().ok()?, volume.get_name().ok()?))
            });
            let (pool, name) = named.unwrap_or_else(|| (String::new(), path.clone()));
            (pool, name, found)
        }
        DiskSource::None => (String::new(), String::new(), None),
    };
    let capacity_bytes = found.and_then(|volume| volume.get_info().ok()).map(|info| info.capacity);
    Disk { target: disk.target.clone(), pool, volume, capacity_bytes }
}
