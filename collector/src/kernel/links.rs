//! The host's network devices: their counters in one netlink dump, and the last counters of one that goes away.
//!
//! A device is its index, which the kernel gives once per network namespace; names are given again. Which NIC of
//! which instance is behind a device is not known here.

use std::collections::HashMap;

use metering::NicRegisters;
use rustix::io::Errno;

use super::netlink::{Message, Received, Socket, attribute, text, u32_at, u64_at};

/// `linux/rtnetlink.h`, `linux/if_link.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWSTATS: u16 = 92;
const RTM_GETSTATS: u16 = 94;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_STATS64: u16 = 23;
const IFLA_STATS_LINK_64: u16 = 1;
/// The bit of `IFLA_STATS_LINK_64` in a request's mask.
const ONLY_LINK_64: u32 = 1;
/// The bit of `RTNLGRP_LINK` in the mask of multicast groups.
const GROUP_LINK: u32 = 1;
/// `struct ifinfomsg` and `struct if_stats_msg`.
const IFINFO: usize = 16;
const IFSTATS: usize = 12;
/// Devices of a whole node may come and go at once.
const RECEIVE_BUFFER: usize = 2 << 20;
/// Last counters are kept for this many devices that went away; a look takes those that it waits for.
const MAX_DEPARTED: usize = 4_096;
/// Room for the devices that go away between two looks of a usual node.
const DEPARTED_ROOM: usize = 16;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name at present.
    pub name: String,
    /// A tap: the host's side of a guest's NIC, which counts the other way round.
    pub is_tap: bool,
}

/// All devices of this network namespace.
pub struct Links {
    requests: Socket,
    changes: Socket,
    links: HashMap<u32, Link>,
    by_name: HashMap<String, u32>,
    counters: HashMap<u32, NicRegisters>,
    departed: HashMap<u32, NicRegisters>,
}

impl Links {
    /// Begins to hear of changes, then lists what there is.
    pub fn open() -> Result<Self, Errno> {
        let changes = Socket::open(None, GROUP_LINK)?;
        changes.want_buffer(RECEIVE_BUFFER);
        let mut links = Self {
            requests: Socket::open(None, 0)?,
            changes,
            links: HashMap::new(),
            by_name: HashMap::new(),
            counters: HashMap::new(),
            departed: HashMap::new(),
        };
        links.list()?;
        links.sample()?;
        Ok(links)
    }

    /// To wait for.
    pub fn changes(&self) -> &Socket {
        &self.changes
    }

    /// Takes in what has changed, without waiting. True: messages were lost, and what there is was listed anew.
    pub fn catch_up(&mut self) -> Result<bool, Errno> {
        let mut is_overrun = false;
        loop {
            let Self { changes, links, by_name, counters, departed, .. } = self;
            let received = changes.receive(|message| change(message, links, by_name, counters, departed))?;
            match received {
                Received::Some => {}
                Received::Overrun => is_overrun = true,
                Received::Nothing => break,
            }
        }
        if is_overrun {
            self.list()?;
        }
        Ok(is_overrun)
    }

    /// Reads the counters of all devices at once.
    pub fn sample(&mut self) -> Result<(), Errno> {
        let mut body = [0; IFSTATS];
        body[8..].copy_from_slice(&ONLY_LINK_64.to_ne_bytes());
        let counters = &mut self.counters;
        self.requests.dump(RTM_GETSTATS, &body, |message| {
            if message.kind != RTM_NEWSTATS {
                return;
            }
            let attributes = message.body.get(IFSTATS..).unwrap_or_default();
            let figures = attribute(attributes, IFLA_STATS_LINK_64).and_then(registers);
            if let (Some(index), Some(figures)) = (u32_at(message.body, 4), figures) {
                counters.insert(index, figures);
            }
        })
    }

    /// The device of that name.
    pub fn index_of(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// Whether the device is there.
    pub fn is_there(&self, index: u32) -> bool {
        self.links.contains_key(&index)
    }

    /// The counters of a device, as the guest behind it sees them: those of the last sample, or the last ones ever.
    pub fn counters(&self, index: u32, is_tap: bool) -> Option<NicRegisters> {
        let figures = self.departed.get(&index).or_else(|| self.counters.get(&index))?;
        Some(if is_tap { swapped(*figures) } else { *figures })
    }

    /// The last counters of a device that went away.
    pub fn last_counters(&self, index: u32, is_tap: bool) -> Option<NicRegisters> {
        let figures = self.departed.get(&index)?;
        Some(if is_tap { swapped(*figures) } else { *figures })
    }

    /// Whether the device is a tap.
    pub fn is_tap(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|link| link.is_tap)
    }

    /// Of devices that went away only those of known NICs are asked for: the others were never anybody's, or are told.
    pub fn forget_departed_but(&mut self, is_known: impl Fn(u32) -> bool) {
        if !self.departed.is_empty() {
            self.departed.retain(|index, _| is_known(*index));
            // After a storm of devices that were nobody's.
            self.departed.shrink_to(DEPARTED_ROOM);
        }
    }

    /// How many devices are remembered, and of how many that went away.
    #[cfg(test)]
    pub fn sizes(&self) -> (usize, usize) {
        let Self { links, by_name, counters, departed, .. } = self;
        (links.len().max(by_name.len()).max(counters.len()), departed.capacity().max(departed.len()))
    }

    fn list(&mut self) -> Result<(), Errno> {
        let Self { requests, links, by_name, counters, departed, .. } = self;
        let known = std::mem::take(links);
        by_name.clear();
        requests.dump(RTM_GETLINK, &[0; IFINFO], |message| {
            change(message, links, by_name, counters, departed);
        })?;
        counters.retain(|index, figures| {
            let is_there = links.contains_key(index);
            if !is_there && known.contains_key(index) {
                // Its end was not heard: what was sampled last is the most that is known.
                departed.entry(*index).or_insert(*figures);
            }
            is_there
        });
        Ok(())
    }
}

fn change(
    message: Message<'_>,
    links: &mut HashMap<u32, Link>,
    by_name: &mut HashMap<String, u32>,
    counters: &mut HashMap<u32, NicRegisters>,
    departed: &mut HashMap<u32, NicRegisters>,
) {
    let Some(index) = u32_at(message.body, 4) else {
        return;
    };
    let attributes = message.body.get(IFINFO..).unwrap_or_default();
    let figures = attribute(attributes, IFLA_STATS64).and_then(registers);
    let name = attribute(attributes, IFLA_IFNAME).map(text).unwrap_or_default().to_owned();
    match message.kind {
        // Bridges tell of their ports by messages that carry no counters; those of the family AF_UNSPEC do.
        RTM_NEWLINK if !name.is_empty() && message.body.first() == Some(&0) => {
            let kind = attribute(attributes, IFLA_LINKINFO).and_then(|info| attribute(info, IFLA_INFO_KIND));
            let is_tap = kind.map(text) == Some("tun");
            if let Some(old) = links.insert(index, Link { name: name.clone(), is_tap })
                && old.name != name
            {
                by_name.remove(&old.name);
            }
            by_name.insert(name, index);
            if let Some(figures) = figures {
                // It may have waited since before the last sample.
                let known = counters.entry(index).or_insert(figures);
                *known = higher(*known, figures);
            }
        }
        RTM_DELLINK if message.body.first() == Some(&0) => {
            links.remove(&index);
            if by_name.get(&name) == Some(&index) {
                by_name.remove(&name);
            }
            let last = figures.or(counters.remove(&index));
            counters.remove(&index);
            if MAX_DEPARTED <= departed.len() {
                departed.clear();
            }
            if let Some(last) = last {
                departed.insert(index, last);
            }
        }
        _ => {}
    }
}

/// `struct rtnl_link_stats64`, the host's view.
fn registers(stats: &[u8]) -> Option<NicRegisters> {
    Some(NicRegisters {
        rx_packets: u64_at(stats, 0)?,
        tx_packets: u64_at(stats, 8)?,
        rx_bytes: u64_at(stats, 16)?,
        tx_bytes: u64_at(stats, 24)?,
    })
}

/// Of two readings of one device the later one.
fn higher(one: NicRegisters, other: NicRegisters) -> NicRegisters {
    NicRegisters {
        rx_bytes: one.rx_bytes.max(other.rx_bytes),
        tx_bytes: one.tx_bytes.max(other.tx_bytes),
        rx_packets: one.rx_packets.max(other.rx_packets),
        tx_packets: one.tx_packets.max(other.tx_packets),
    }
}

fn swapped(figures: NicRegisters) -> NicRegisters {
    NicRegisters {
        rx_bytes: figures.tx_bytes,
        tx_bytes: figures.rx_bytes,
        rx_packets: figures.tx_packets,
        tx_packets: figures.rx_packets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link message as the kernel sends it.
    fn message(kind: &str, index: u32, name: &str, rx_bytes: u64) -> Vec<u8> {
        fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
            let mut bytes = u16::try_from(4 + content.len()).unwrap().to_ne_bytes().to_vec();
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().div_ceil(4) * 4, 0);
            bytes
        }
        let mut stats = vec![0; 200];
        stats[16..24].copy_from_slice(&rx_bytes.to_ne_bytes());
        let mut body = vec![0; IFINFO];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body.extend(attribute(IFLA_IFNAME, format!("{name}\0").as_bytes()));
        body.extend(attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, format!("{kind}\0").as_bytes())));
        body.extend(attribute(IFLA_STATS64, &stats));
        body
    }

    #[test]
    fn a_name_that_is_given_again_is_another_device_and_the_last_counters_of_the_first_one_stay() {
        let (mut links, mut by_name) = (HashMap::new(), HashMap::new());
        let (mut counters, mut departed) = (HashMap::new(), HashMap::new());
        let mut hear = |kind: u16, body: &[u8]| {
            change(Message { kind, body }, &mut links, &mut by_name, &mut counters, &mut departed);
        };
        hear(RTM_NEWLINK, &message("tun", 7, "vnet0", 10));
        hear(RTM_NEWLINK, &message("macvtap", 8, "macvtap0", 20));
        hear(RTM_NEWLINK, &message("macvtap", 8, "macvtap0", 19));
        hear(RTM_DELLINK, &message("tun", 7, "vnet0", 15));
        hear(RTM_NEWLINK, &message("tun", 9, "vnet0", 1));
        assert_eq!(by_name["vnet0"], 9);
        assert!(links[&9].is_tap && !links[&8].is_tap && !links.contains_key(&7));
        assert_eq!(departed[&7].rx_bytes, 15);
        assert_eq!(counters[&9].rx_bytes, 1);
        assert_eq!(counters[&8].rx_bytes, 20, "a message that waited for long takes nothing back");
        assert_eq!(swapped(departed[&7]).tx_bytes, 15, "what the host received the guest sent");
    }

    #[test]
    fn the_devices_of_this_machine_are_counted_as_the_kernel_shows_them() {
        let links = Links::open().unwrap();
        let lo = links.index_of("lo").expect("every network namespace has it");
        assert!(!links.is_tap(lo) && links.is_there(lo) && links.counters(lo, false).is_some());
    }

    /// Changes devices of this thread's network namespace.
    fn ip(commands: &str) {
        let mut ip = std::process::Command::new("ip")
            .args(["-batch", "-"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("iproute2 is there: libvirt needs it");
        std::io::Write::write_all(&mut ip.stdin.take().unwrap(), commands.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success(), "{commands}");
    }

    fn pair(name: &str) -> String {
        format!("link add {name} type veth peer name {name}-peer\n")
    }

    /// It carries what is sent to a neighbour that nobody is.
    fn in_use(name: &str) -> String {
        format!(
            "addr add 10.9.9.1/24 dev {name}\nlink set {name} up\nlink set {name}-peer up\n\
             neigh add 10.9.9.2 lladdr 02:00:00:00:00:01 dev {name}\n"
        )
    }

    /// Sends by a device until it has carried so many datagrams; what it has counted then.
    fn send(links: &mut Links, device: &str, datagrams: u64) -> NicRegisters {
        let socket = std::net::UdpSocket::bind("10.9.9.1:0").unwrap();
        let index = links.index_of(device).unwrap();
        // The kernel lets nothing through until it has noticed that both ends are up.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while links.counters(index, false).is_none_or(|counted| counted.tx_bytes < datagrams * 100) {
            assert!(std::time::Instant::now() < until, "{device} carries nothing");
            socket.send_to(&[0; 100], "10.9.9.2:9").unwrap();
            links.sample().unwrap();
        }
        links.counters(index, false).unwrap()
    }

    fn lose_and_list_anew() {
        ip(&format!("{}{}{}", pair("kept"), pair("gone"), in_use("gone")));
        let mut links = Links::open().unwrap();
        let [kept, gone] = ["kept", "gone"].map(|name| links.index_of(name).unwrap());
        let sampled = send(&mut links, "gone", 7);

        // A storm that a buffer of a few messages cannot hold, and in its middle the end of a device that carried traffic.
        links.changes.want_buffer(1);
        let storm = |n: u32| format!("link add s{n} type bridge\nlink set s{n} up\nlink del s{n}\n");
        let storms: Vec<String> = (0..60).map(storm).collect();
        ip(&format!(
            "{}link del gone\n{}link add new type bridge\n",
            storms[..30].concat(),
            storms[30..].concat()
        ));
        assert!(links.catch_up().unwrap(), "that messages were lost is noticed");
        assert!(links.is_there(kept) && links.index_of("new").is_some(), "what is there is known again");
        assert!(!links.is_there(gone) && links.index_of("gone").is_none() && links.index_of("s59").is_none());
        assert_eq!(
            links.last_counters(gone, false),
            Some(sampled),
            "the last sample is the most that is known"
        );

        // Heard again as before, and to the last byte.
        links.changes.want_buffer(RECEIVE_BUFFER);
        ip(&in_use("kept"));
        assert!(!links.catch_up().unwrap());
        let sampled = send(&mut links, "kept", 5);
        std::net::UdpSocket::bind("10.9.9.1:0").unwrap().send_to(&[0; 100], "10.9.9.2:9").unwrap();
        ip("link del kept\n");
        assert!(!links.catch_up().unwrap());
        assert!(sampled.tx_packets < links.last_counters(kept, false).unwrap().tx_packets);
    }

    #[test]
    fn changes_that_the_socket_could_not_hold_are_noticed_and_all_devices_are_listed_anew() {
        let apart = std::thread::spawn(|| {
            // SAFETY: only the network of this thread changes; no descriptor and no memory does.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
            lose_and_list_anew();
        });
        apart.join().unwrap();
    }
}
