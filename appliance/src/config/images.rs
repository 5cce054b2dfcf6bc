//! `[compute.images.NAME]`: what instances may boot from when they are asked for by name, over the API. Files are the
//! operator's choice: a tenant must not name paths of the node.

use std::path::PathBuf;

use anyhow::{Result, bail};
use compute::Boot;
use serde::{Deserialize, Serialize};

/// Names as long as an instance's: they stand in the same tables.
const NAME_MAX: usize = 64;

/// An image: a disk, or a kernel with its initial file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Image {
    /// A qcow2 or raw disk image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A Linux kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<PathBuf>,
    /// Its initial file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initrd: Option<PathBuf>,
    /// Its command line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cmdline: String,
    /// What people read beside the name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Image {
    /// What is wrong, with its key.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || NAME_MAX < name.len() || !name.chars().all(is_name) {
            bail!(
                "compute.images.{name:?} is no name; write 1 to {NAME_MAX} of A-Z, a-z, 0-9, '.', '_' and '-'"
            );
        }
        if self.boot().is_none() {
            bail!("compute.images.{name} needs either file, or kernel and initrd");
        }
        let relative =
            [&self.file, &self.kernel, &self.initrd].into_iter().flatten().find(|path| !path.is_absolute());
        if let Some(path) = relative {
            bail!("compute.images.{name}: {} is not absolute", path.display());
        }
        Ok(())
    }

    /// For compute.
    #[must_use]
    pub fn boot(&self) -> Option<Boot> {
        match (&self.file, &self.kernel, &self.initrd) {
            (Some(file), None, None) => Some(Boot::Image(file.clone())),
            (None, Some(kernel), Some(initrd)) => Some(Boot::Kernel {
                kernel: kernel.clone(),
                initrd: initrd.clone(),
                cmdline: self.cmdline.clone(),
            }),
            _ => None,
        }
    }
}
