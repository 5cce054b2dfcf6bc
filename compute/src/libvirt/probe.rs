//! Whether KVM works here, found out by having a guest execute something.
//!
//! /dev/kvm may exist, libvirt may offer it, and guests still hang: seen on a virtual machine without nested
//! virtualisation, where 16-bit code ran (at a twentieth of the speed of emulation) and 64-bit code never did.
//! So a tiny guest enters 64-bit mode, counts to twenty million and turns itself off. If it is off in time, KVM works.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use virt::domain::Domain;
use virt_sys::{VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN};

use super::{Accelerator, Session, definition, failed};
use crate::compute::Virtualization;
use crate::error::ComputeError;
use crate::size::ByteSize;

/// The name of the guest that is started to try KVM.
pub const PROBE_NAME: &str = "weir-kvm-probe";
/// Its id, the same everywhere: the collector leaves it out.
pub const PROBE_INSTANCE_ID: metering::InstanceId = metering::InstanceId::PROBE;

/// Without it there is nothing to try.
const KVM_DEVICE: &str = "/dev/kvm";
/// How long the guest may take. Under emulation it takes 0.2 s, so a KVM that needs longer than this is of no use.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
const PROBE_PAUSE: Duration = Duration::from_millis(50);
const PROBE_MEMORY: ByteSize = ByteSize::from_mib(32);
/// The size of its disk: the boot sector, and room for a BIOS that looks further.
const PROBE_DISK_BYTES: usize = 1 << 20;

/// The boot sector's code, loaded by the BIOS at 0x7C00 in 16-bit mode.
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xfa,                               // cli
    0x31, 0xc0,                         // xor  ax, ax
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // mov  ds, es, ss = 0
    0xbc, 0x00, 0x70,                   // mov  sp, 0x7000
    0xfc, 0xbf, 0x00, 0x10,             // cld; mov di, 0x1000
    0xb9, 0x00, 0x18, 0xf3, 0xab,       // clear three pages for the page tables
    0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, // [0x1000] = 0x2003: first PML4 entry
    0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, // [0x2000] = 0x3003: first PDPT entry
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, // [0x3000] = 0x0083: the first 2 MiB, one to one
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8,             // cr3 = 0x1000
    0x0f, 0x20, 0xe0, 0x66, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0,       // cr4 |= PAE
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32,                   // rdmsr EFER
    0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30,                   // wrmsr EFER | LME
    0x66, 0x0f, 0x01, 0x16, 0x88, 0x7c,                               // lgdt [0x7c88]
    0x0f, 0x20, 0xc0, 0x66, 0x0d, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, // cr0 |= PG | PE
    0xea, 0x61, 0x7c, 0x08, 0x00,       // jmp  0x08:0x7c61: 64-bit from here
    0xb9, 0x00, 0x2d, 0x31, 0x01,       // mov  ecx, 20,000,000
    0xff, 0xc9, 0x75, 0xfc,             // dec ecx; jnz
    0x66, 0xba, 0x04, 0x06,             // mov  dx, 0x604: PM1a control of a `pc` machine under SeaBIOS
    0x66, 0xb8, 0x00, 0x20,             // mov  ax, 0x2000: SLP_EN, type 0, which is off
    0x66, 0xef,                         // out  dx, ax
    0xf4, 0xeb, 0xfd,                   // hlt, for ever
    0x90,
    0, 0, 0, 0, 0, 0, 0, 0,                               // 0x7c78: the null descriptor
    0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00,       // 64-bit code
    0x0f, 0x00, 0x78, 0x7c, 0x00, 0x00,                   // 0x7c88: limit and address of the table
];

impl Session {
    /// How guests are executed here: as the settings say, or as a probe finds, once.
    pub(crate) fn accelerator(&mut self) -> Result<Accelerator, ComputeError> {
        if let Some(known) = self.accelerator {
            return Ok(known);
        }
        let decided = match self.settings.virtualization {
            Virtualization::Kvm => Accelerator::Kvm,
            Virtualization::Emulated => Accelerator::Emulated,
            Virtualization::Auto if !Path::new(KVM_DEVICE).exists() => Accelerator::Emulated,
            Virtualization::Auto => self.probe_kvm()?,
        };
        self.accelerator = Some(decided);
        Ok(decided)
    }

    fn probe_kvm(&mut self) -> Result<Accelerator, ComputeError> {
        self.ensure_pool()?;
        let directory = self.settings.pool_path.clone();
        let system =
            |doing: &'static str| move |source| ComputeError::System { doing: doing.to_owned(), source };
        // One probe at a time on this machine: its name and id are the same for all. The lock is on the device, which
        // is there for all and leaves no file behind; who may not open it goes without.
        let _lock =
            File::open(KVM_DEVICE).ok().filter(|device| flock(device, FlockOperation::LockExclusive).is_ok());
        let disk = directory.join(".weir-kvm-probe.img");
        fs::write(&disk, boot_disk()).map_err(system("write the disk of the KVM probe"))?;
        let began = Instant::now();
        let outcome = self.run_probe(&disk.to_string_lossy());
        if let Err(error) = fs::remove_file(&disk) {
            tracing::warn!("the disk of the KVM probe is left over at {}: {error}", disk.display());
        }
        let took = began.elapsed();
        match outcome {
            Ok(()) => {
                tracing::info!(?took, "KVM works: a guest ran in it");
                Ok(Accelerator::Kvm)
            }
            Err(why) => {
                tracing::warn!(
                    ?took,
                    "guests are emulated in software, which is slow, because KVM does not work here: {why}"
                );
                Ok(Accelerator::Emulated)
            }
        }
    }

    /// Runs the guest; the error is the reason not to use KVM.
    fn run_probe(&self, disk: &str) -> Result<(), String> {
        let connection = self.connection().map_err(|error| error.to_string())?;
        // One that was left behind when a process was killed.
        if let Ok(old) = Domain::lookup_by_uuid(connection, PROBE_INSTANCE_ID.uuid()) {
            remove(&old);
        }
        let xml =
            definition::probe(Accelerator::Kvm, PROBE_NAME, PROBE_INSTANCE_ID.uuid(), PROBE_MEMORY, disk)
                .to_xml();
        let domain = Domain::define_xml(connection, &xml).map_err(|error| error.message().to_owned())?;
        let outcome = match domain.create() {
            Ok(_) => turned_itself_off(&domain),
            Err(error) => Err(error.message().lines().next_back().unwrap_or_default().to_owned()),
        };
        remove(&domain);
        outcome
    }
}

/// Waits for the guest to turn itself off, which only its 64-bit code does.
fn turned_itself_off(domain: &Domain) -> Result<(), String> {
    let end = Instant::now() + PROBE_LIMIT;
    loop {
        let (state, reason) =
            domain.get_state().map_err(failed("look at the KVM probe")).map_err(|error| error.to_string())?;
        if state == VIR_DOMAIN_SHUTOFF {
            let by_itself = u32::try_from(reason) == Ok(VIR_DOMAIN_SHUTOFF_SHUTDOWN);
            return if by_itself { Ok(()) } else { Err("the guest crashed".to_owned()) };
        }
        if Instant::now() >= end {
            return Err(format!(
                "a guest did not get through a few instructions within {} s",
                PROBE_LIMIT.as_secs()
            ));
        }
        std::thread::sleep(PROBE_PAUSE);
    }
}

fn remove(domain: &Domain) {
    // Either may fail because it is off or gone, which is what is wanted.
    let _ = domain.destroy();
    let _ = domain.undefine();
}

fn boot_disk() -> Vec<u8> {
    let mut disk = vec![0; PROBE_DISK_BYTES];
    disk[..CODE.len()].copy_from_slice(CODE);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sector_has_room_for_its_code_and_its_addresses_are_right() {
        assert!(CODE.len() < 510);
        // The jump's target and the descriptor table, at the addresses that the code names.
        assert_eq!(CODE[0x61..0x63], [0xb9, 0x00]);
        assert_eq!(CODE[0x78..0x80], [0; 8]);
        assert_eq!(CODE[0x88..], [0x0f, 0x00, 0x78, 0x7c, 0x00, 0x00]);
        assert_eq!(boot_disk()[510..512], [0x55, 0xaa]);
    }
}
