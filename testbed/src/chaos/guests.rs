//! Guests that do known work, life after life, and what each life came to by libvirt and by their orders.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::world::World;
use crate::daemons::wait_for;
use crate::demo::Interrupt;
use crate::faults::Random;
use crate::guest::{DiskSpec, Guest, GuestSpec};
use crate::network::{listen_again_at, silence_at};
use crate::orders::{BOOT_READ_BYTES, MIB, Order, Orders};
use crate::truth::{Figures, figures_at};

/// What a life's work may take beside all the faults.
const WORK_LIMIT: Duration = Duration::from_secs(180);
/// How long figures may take to stand still, libvirtd may take to answer, and a guest to be off.
const LIMIT: Duration = Duration::from_secs(60);
/// Two readings are certainly taken within it.
const TWO_READINGS: Duration = Duration::from_millis(2_500);

/// Which of the two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// The control plane's own.
    Near,
    /// The one that joined.
    Far,
}

/// Device and meter.
pub(super) type Key = (String, &'static str);

/// One guest.
#[derive(Debug)]
pub(super) struct Worker {
    site: Site,
    guest: Guest,
    orders: Orders,
    since: Instant,
    /// What all its lives came to.
    pub(super) truth: BTreeMap<Key, u64>,
    pub(super) lives: u64,
}

impl Worker {
    pub(super) fn start(world: &World, site: Site, number: usize, random: &mut Random) -> Result<Self> {
        let server = world.server(site);
        let mut mib = |most| 1 + random.below(most);
        let orders = Orders::new([
            Order::Write("vda".into(), mib(12)),
            Order::Fetch("eth0".into(), server.bytes_url(mib(6) * MIB)),
            Order::Sleep(mib(4)),
            Order::Read("vda".into(), mib(6)),
            Order::Send("eth0".into(), mib(3), server.sink_url()),
            Order::Burn(mib(3)),
            Order::Write("vda".into(), mib(8)),
        ]);
        let place = world.place(site);
        let guest = GuestSpec {
            disks: vec![DiskSpec { target: "vda".into(), mib: 32 }],
            networks: vec![place.network().name().to_owned()],
            orders: orders.clone(),
            tenant_metadata: Some(super::world::TENANT.to_owned()),
            place: place.place().clone(),
            ..GuestSpec::new(&format!("{}-{number}", place.name()))
        }
        .start()?;
        Ok(Self { site, guest, orders, since: Instant::now(), truth: BTreeMap::new(), lives: 0 })
    }

    pub(super) fn site(&self) -> Site {
        self.site
    }

    pub(super) fn name(&self) -> &str {
        self.guest.name()
    }

    pub(super) fn instance_id(&self) -> &str {
        self.guest.uuid()
    }

    pub(super) fn pid(&self) -> Result<i32> {
        self.guest.pid()
    }

    pub(super) fn is_done(&self) -> bool {
        self.guest.console_text().is_ok_and(|text| text.contains("WEIR all done"))
    }

    /// A kernel that is held still while it looks for its timer panics.
    pub(super) fn has_booted(&self) -> bool {
        self.guest.console_text().is_ok_and(|text| text.contains("WEIR up"))
    }

    pub(super) fn wait_until_done(&self, interrupt: &Interrupt) -> Result<()> {
        while !self.is_done() {
            if WORK_LIMIT < self.since.elapsed() {
                bail!("{} does not finish its work: {}", self.name(), self.guest.console_text()?);
            }
            interrupt.sleep(Duration::from_millis(200))?;
        }
        Ok(())
    }

    /// Notes the last figures and ends the life.
    pub(super) fn end(&mut self, world: &World, by_force: bool, interrupt: &Interrupt) -> Result<()> {
        let (place, name) = (world.place(self.site), self.guest.name().to_owned());
        let quiet = self.quiet_figures(world, interrupt)?;
        if self.guest.console_text()?.contains("failed=0") {
            self.check_orders(&quiet)?;
        }
        interrupt.sleep(TWO_READINGS)?;
        // A last frame, which no reading has seen.
        listen_again_at(place.place(), &name)?;
        place.network().broadcast()?;
        silence_at(place.place(), &name)?;
        let last = figures_at(place.place(), &name)?;
        if by_force {
            self.guest.signal(Signal::KILL)?;
        } else {
            self.guest.destroy()?;
        }
        self.add(&last);
        let is_off =
            || place.virsh(&["domstate", &name]).is_ok_and(|state| state.trim() == "shut off").then_some(());
        wait_for(LIMIT, is_off).with_context(|| format!("{name} does not end"))
    }

    pub(super) fn start_again(&mut self) -> Result<()> {
        self.since = Instant::now();
        self.guest.start()
    }

    fn quiet_figures(&self, world: &World, interrupt: &Interrupt) -> Result<Figures> {
        let (place, name) = (world.place(self.site), self.guest.name());
        let end = Instant::now() + LIMIT;
        loop {
            interrupt.check()?;
            let look = || -> Result<Option<Figures>> {
                silence_at(place.place(), name)?;
                let first = figures_at(place.place(), name)?;
                place.network().broadcast()?;
                let second = figures_at(place.place(), name)?;
                let is_whole = !second.disks.is_empty() && !second.nics.is_empty();
                let is_quiet = first.disks == second.disks && first.nics == second.nics;
                Ok((is_whole && is_quiet).then_some(second))
            };
            match look() {
                Ok(Some(figures)) => return Ok(figures),
                Ok(None) if Instant::now() < end => {}
                Ok(None) => bail!("{name}: its counters do not stand still"),
                // libvirtd may just be starting.
                Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(300)),
                Err(error) => return Err(error),
            }
        }
    }

    fn check_orders(&self, figures: &Figures) -> Result<()> {
        let disk = figures.disks.get("vda").context("libvirt has no figures of vda")?;
        let (written, read) =
            (self.orders.write_bytes("vda"), self.orders.read_bytes("vda") + BOOT_READ_BYTES);
        if (disk.write_bytes, disk.read_bytes) != (written, read) {
            bail!("{}: libvirt counts {disk:?}, ordered were {written} written and {read} read", self.name());
        }
        Ok(())
    }

    fn add(&mut self, figures: &Figures) {
        self.lives += 1;
        for (target, disk) in &figures.disks {
            for (meter, quantity) in [
                ("disk_read_bytes", disk.read_bytes),
                ("disk_write_bytes", disk.write_bytes),
                ("disk_read_ops", disk.read_ops),
                ("disk_write_ops", disk.write_ops),
            ] {
                *self.truth.entry((target.clone(), meter)).or_default() += quantity;
            }
        }
        for (mac, nic) in &figures.nics {
            for (meter, quantity) in [("net_rx_bytes", nic.rx_bytes), ("net_tx_bytes", nic.tx_bytes)] {
                *self.truth.entry((mac.clone(), meter)).or_default() += quantity;
            }
        }
    }
}
