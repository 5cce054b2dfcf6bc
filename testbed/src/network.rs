//! An isolated libvirt network with DHCP for test guests: a bridge of its own, no way out of the host.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::place::Place;
use crate::process::{run, virsh};
use crate::xml::element;

/// Prefix of every bridge that the testbed makes; interface names hold 15 characters.
const BRIDGE_PREFIX: &str = "wt";
/// Subnets are looked for in 10.224.0.0/12, which few use.
const FIRST_SECOND_OCTET: u8 = 224;
const SECOND_OCTETS: u8 = 16;
/// How many subnets are tried: others may take one between the look and the creation.
const TRIES: u16 = 64;

/// From the bridge through the tap into QEMU; far below a millisecond on an idle machine.
const DELIVERY_TIME: Duration = Duration::from_millis(300);

/// A /24 of the form 10.x.y.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    x: u8,
    y: u8,
}

impl Subnet {
    /// 10.x.y.0/24.
    #[must_use]
    pub const fn new(x: u8, y: u8) -> Self {
        Self { x, y }
    }

    /// The address `10.x.y.host`.
    #[must_use]
    pub const fn address(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.x, self.y, host)
    }

    /// Whether the address range `a.b.c.d/length` shares an address with this subnet.
    fn overlaps(self, address: Ipv4Addr, length: u32) -> bool {
        let mask = |length: u32| u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
        let common = mask(length.min(24));
        u32::from(address) & common == u32::from(self.address(0)) & common
    }
}

/// A running network; dropping it removes it.
#[derive(Debug)]
pub struct Network {
    name: String,
    bridge: String,
    subnet: Subnet,
    place: Place,
    here: Ipv4Addr,
}

impl Network {
    /// Creates a network on a free subnet.
    pub fn create(name: &str) -> Result<Self> {
        Self::create_at(&Place::default(), name)
    }

    /// Creates a network on a free subnet, on the node given.
    pub fn create_at(place: &Place, name: &str) -> Result<Self> {
        let mut refusal = None;
        for subnet in candidates(name) {
            if taken(subnet)? {
                continue;
            }
            match Self::create_in_at(place, name, subnet) {
                Ok(network) => return Ok(network),
                // Somebody else took this subnet just now; anything else would fail on the next one too.
                Err(error) if error.to_string().contains("already in use") => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| anyhow::anyhow!("no free /24 found below 10.224.0.0/12")))
            .with_context(|| format!("cannot create network {name}"))
    }

    /// Creates a network on the subnet given; .1 is the host, .10 to .250 are leased.
    pub fn create_in(name: &str, subnet: Subnet) -> Result<Self> {
        Self::create_in_at(&Place::default(), name, subnet)
    }

    fn create_in_at(place: &Place, name: &str, subnet: Subnet) -> Result<Self> {
        let bridge = bridge_name(name);
        let file = tempfile::Builder::new().prefix("weir-network-").suffix(".xml").tempfile()?;
        std::fs::write(file.path(), network_xml(name, &bridge, subnet))?;
        let path = file.path().to_str().context("the temporary directory's name is not UTF-8")?;
        place.virsh(&["net-create", path]).with_context(|| format!("cannot create network {name}"))?;
        let here = subnet.address(1);
        Ok(Self { name: name.to_owned(), bridge, subnet, place: place.clone(), here })
    }

    /// Its name in libvirt.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's bridge.
    #[must_use]
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// Its subnet.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// Sends one small broadcast frame to everybody on the network: whoever counts it is not silent ([`silence`]).
    pub fn broadcast(&self) -> Result<()> {
        let socket = UdpSocket::bind((self.here, 0)).context("cannot open a socket on the bridge")?;
        socket.set_broadcast(true)?;
        let discard = (self.subnet.address(255), 9);
        socket
            .send_to(b"anybody?", discard)
            .with_context(|| format!("cannot send to network {}", self.name))?;
        std::thread::sleep(DELIVERY_TIME);
        Ok(())
    }

    /// The host's address on the bridge.
    #[must_use]
    pub fn host_address(&self) -> Ipv4Addr {
        self.subnet.address(1)
    }

    /// This machine's address on the network: the host's, unless the host is in a namespace of its own.
    #[must_use]
    pub fn here(&self) -> Ipv4Addr {
        self.here
    }

    pub(crate) fn seen_from_here_as(&mut self, here: Ipv4Addr) {
        self.here = here;
    }

    /// Gives up the network without removing it; returns its bridge. For nodes that end as a whole.
    pub(crate) fn forget(self) -> String {
        let bridge = self.bridge.clone();
        std::mem::forget(self);
        bridge
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.place.virsh(&["net-destroy", &self.name]) {
            eprintln!("testbed: {error:#}");
        }
    }
}

/// Cuts an idle guest off, so that the counters of its NICs stand still: its ports of the bridge are disabled (turning off
/// flooding is not enough, the host's own broadcasts pass), and the host sends no IPv6 solicitations on its taps any more.
pub fn silence(guest: &str) -> Result<()> {
    silence_at(&Place::default(), guest)
}

/// Like [`silence`], on the node given.
pub fn silence_at(place: &Place, guest: &str) -> Result<()> {
    for tap in taps(place, guest)? {
        place
            .run("bridge", &["link", "set", "dev", &tap, "state", "disabled"])
            .with_context(|| format!("cannot cut {guest} off"))?;
        // What is in a namespace of its own has no IPv6 at all.
        let setting = format!("/proc/sys/net/ipv6/conf/{tap}/disable_ipv6");
        if std::fs::exists(&setting)? {
            std::fs::write(&setting, "1").with_context(|| format!("cannot write {setting}"))?;
        }
    }
    Ok(())
}

/// Ends [`silence`], but for IPv6.
pub fn listen_again_at(place: &Place, guest: &str) -> Result<()> {
    for tap in taps(place, guest)? {
        place
            .run("bridge", &["link", "set", "dev", &tap, "state", "forwarding"])
            .with_context(|| format!("cannot let {guest} hear again"))?;
    }
    Ok(())
}

fn taps(place: &Place, guest: &str) -> Result<Vec<String>> {
    let interfaces = place.virsh(&["domiflist", guest])?;
    let taps = interfaces.lines().filter_map(|line| line.split_whitespace().next());
    Ok(taps.filter(|tap| *tap != "-").map(str::to_owned).collect())
}

/// Removes every network whose name starts with `prefix`, whoever made it; returns their names.
pub fn remove_leftovers(prefix: &str) -> Result<Vec<String>> {
    if prefix.is_empty() {
        bail!("a prefix is needed: an empty one would remove every network");
    }
    let listed = virsh(&["net-list", "--all", "--name"])?;
    let names: Vec<_> = listed.lines().map(str::trim).filter(|name| name.starts_with(prefix)).collect();
    for name in &names {
        // Either may fail: it may not run, or not be defined. What counts is that it is gone.
        let _ = virsh(&["net-destroy", name]);
        let _ = virsh(&["net-undefine", name]);
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

fn bridge_name(network: &str) -> String {
    let digest = Sha256::digest(network.as_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{BRIDGE_PREFIX}{hex}")
}

fn network_xml(name: &str, bridge: &str, subnet: Subnet) -> String {
    element("network")
        .with("xmlns:dnsmasq", "http://libvirt.org/schemas/network/dnsmasq/1.0")
        .child(element("name").text(name))
        .child(element("bridge").with("name", bridge).with("stp", "off").with("delay", 0))
        .child(element("dns").with("enable", "no"))
        .child(
            element("ip").with("address", subnet.address(1)).with("prefix", 24).child(
                element("dhcp").child(
                    element("range").with("start", subnet.address(10)).with("end", subnet.address(250)),
                ),
            ),
        )
        // dnsmasq pings an address for 3 s before it offers it; nobody else is on this bridge.
        .child(element("dnsmasq:options").child(element("dnsmasq:option").with("value", "no-ping")))
        .render()
}

/// A subnet that nobody on this machine uses now.
pub(crate) fn free_subnet(name: &str) -> Result<Subnet> {
    for subnet in candidates(name) {
        if !taken(subnet)? {
            return Ok(subnet);
        }
    }
    bail!("no free /24 found below 10.224.0.0/12")
}

/// Where to look for a free subnet: elsewhere for each name.
fn candidates(name: &str) -> impl Iterator<Item = Subnet> {
    let digest = Sha256::digest(name.as_bytes());
    let start = u16::from_be_bytes([digest[0], digest[1]]);
    (0..TRIES).map(move |step| {
        let [high, y] = start.wrapping_add(step.wrapping_mul(257)).to_be_bytes();
        Subnet::new(FIRST_SECOND_OCTET + high % SECOND_OCTETS, y)
    })
}

fn taken(subnet: Subnet) -> Result<bool> {
    let addresses = run("ip", &["-4", "-o", "addr", "show"])?;
    let routes = run("ip", &["-4", "route", "show", "table", "all"])?;
    Ok(in_use(subnet, &addresses, &routes))
}

fn in_use(subnet: Subnet, addresses: &str, routes: &str) -> bool {
    let words = addresses
        .lines()
        .filter_map(|line| line.split_whitespace().skip_while(|word| *word != "inet").nth(1))
        .chain(routes.lines().flat_map(|line| line.split_whitespace().take(2)));
    words.filter_map(range).any(|(address, length)| subnet.overlaps(address, length))
}

/// `10.1.0.0/16` or a single address; the default route is none.
fn range(word: &str) -> Option<(Ipv4Addr, u32)> {
    match word.split_once('/') {
        Some((address, length)) => Some((address.parse().ok()?, length.parse().ok()?)),
        None => Some((word.parse().ok()?, 32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_that_the_host_uses_is_never_taken() {
        let addresses = "2: eth0    inet 10.230.7.9/24 brd 10.230.7.255 scope global eth0\n";
        let routes = "default via 10.230.7.1 dev eth0\n10.231.0.0/16 dev tun0 scope link\nlocal 10.232.1.1 dev lo table local\n";
        let check = |x, y, expected| {
            assert_eq!(in_use(Subnet::new(x, y), addresses, routes), expected, "10.{x}.{y}.0")
        };
        check(230, 7, true);
        check(230, 8, false);
        check(231, 200, true);
        check(232, 1, true);
        check(232, 2, false);
    }

    #[test]
    fn bridge_names_fit_into_an_interface_name() {
        assert!(bridge_name(&"long".repeat(100)).len() <= 15);
    }

    #[test]
    fn an_empty_prefix_removes_nothing() {
        assert!(remove_leftovers("").is_err());
    }

    #[test]
    fn a_network_has_a_bridge_with_its_address_and_goes_when_dropped() {
        crate::daemons::ensure().unwrap();
        let network = Network::create(&crate::unique_name("weirt-testbed-net")).unwrap();
        let (name, address) = (network.name().to_owned(), network.host_address().to_string());
        assert!(run("ip", &["-4", "addr", "show", "dev", network.bridge()]).unwrap().contains(&address));
        let second = Network::create(&crate::unique_name("weirt-testbed-net")).unwrap();
        assert_ne!(second.subnet(), network.subnet());
        drop(network);
        assert!(!virsh(&["net-list", "--all", "--name"]).unwrap().lines().any(|line| line.trim() == name));
    }
}
