//! KVM or software emulation, decided by really starting a guest: /dev/kvm may exist and still hang every guest.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::guest::GuestSpec;
use crate::guest_image::cache_directory;
use crate::lock::Lock;

/// A guest under working KVM is up in a second; the one under a broken KVM never is.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(10);
/// `kvm` or `qemu` forces the answer.
const OVERRIDE: &str = "WEIR_TESTBED_VIRT";

/// How a guest's CPU is run; libvirt's name for it is [`VirtType::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VirtType {
    /// By the processor.
    Kvm,
    /// By software emulation (TCG).
    Qemu,
}

impl VirtType {
    /// libvirt's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Qemu => "qemu",
        }
    }
}

/// What works on this machine. Tried once per boot of the host; the answer is kept for later processes.
pub fn decide() -> Result<VirtType> {
    static ANSWER: OnceLock<VirtType> = OnceLock::new();
    if let Some(answer) = ANSWER.get() {
        return Ok(*answer);
    }
    let answer = look()?;
    Ok(*ANSWER.get_or_init(|| answer))
}

fn look() -> Result<VirtType> {
    match std::env::var(OVERRIDE).as_deref() {
        Ok("kvm") => return Ok(VirtType::Kvm),
        Ok("qemu") => return Ok(VirtType::Qemu),
        Ok(other) => bail!("{OVERRIDE}={other}: it is kvm or qemu"),
        Err(_) => {}
    }
    if !fs::exists("/dev/kvm").unwrap_or(false) {
        return Ok(VirtType::Qemu);
    }
    let cache = cache_directory();
    let _lock = Lock::take(&cache.join("virt-type.lock"))?;
    let file = cache.join("virt-type");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot read the boot id")?;
    let remembered = fs::read_to_string(&file).unwrap_or_default();
    for answer in [VirtType::Kvm, VirtType::Qemu] {
        if remembered == format!("{} {}\n", boot.trim(), answer.as_str()) {
            return Ok(answer);
        }
    }
    let answer = try_kvm()?;
    fs::write(&file, format!("{} {}\n", boot.trim(), answer.as_str()))
        .with_context(|| format!("cannot remember the answer in {}", file.display()))?;
    Ok(answer)
}

fn try_kvm() -> Result<VirtType> {
    let name = crate::unique_name("weirt-testbed-probe");
    let guest = GuestSpec { virt: Some(VirtType::Kvm), ..GuestSpec::new(&name) }.define()?;
    // Neither a refusal nor a hang is an error here: each means that KVM does not work.
    let works = guest.start().and_then(|()| guest.wait_for("WEIR up", KVM_BOOT_LIMIT)).is_ok();
    Ok(if works { VirtType::Kvm } else { VirtType::Qemu })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_a_kind_that_boots_a_guest_and_is_given_again_at_once() {
        crate::daemons::ensure().unwrap();
        let answer = decide().unwrap();
        let before = std::time::Instant::now();
        assert_eq!(look().unwrap(), answer);
        assert!(before.elapsed() < KVM_BOOT_LIMIT);
    }
}
