//! Work that a test guest is ordered to do, and what that work must show as on the meter.
//!
//! `guest/init` obeys them in sequence. The figures here follow from the orders alone; nothing is measured.

use std::fmt;

/// Bytes of a MiB; `dd` moves one per request.
pub const MIB: u64 = 1 << 20;

/// Bytes that firmware (512, the boot sector) and kernel (4096, the partition table) read from the first disk at boot.
pub const BOOT_READ_BYTES: u64 = 512 + 4096;
/// Requests of [`BOOT_READ_BYTES`].
pub const BOOT_READ_OPS: u64 = 2;
/// Bytes that the kernel reads from a disk that is plugged in while it runs: the partition table.
pub const PLUG_READ_BYTES: u64 = 4096;
/// Requests of [`PLUG_READ_BYTES`].
pub const PLUG_READ_OPS: u64 = 1;

/// The longest kernel command line on x86 is 2048 bytes; this leaves room for the rest of it.
const PARAMETER_LIMIT: usize = 1900;

/// One piece of work. Disks are named as in the guest (`vda`), NICs too (`eth0`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Write this many MiB from the start of the disk, in direct requests of 1 MiB.
    Write(String, u64),
    /// Read this many MiB from the start of the disk, in direct requests of 1 MiB.
    Read(String, u64),
    /// HTTP GET over a NIC, thrown away; DHCP first where the NIC has no address.
    Fetch(String, String),
    /// HTTP POST of this many MiB over a NIC.
    Send(String, u64, String),
    /// Seconds of a busy loop on one vCPU.
    Burn(u64),
    /// Seconds of nothing.
    Sleep(u64),
    /// Wait until the disk is plugged in.
    WaitDisk(String),
    /// Wait until the NIC is plugged in.
    WaitNic(String),
    /// Wait until the disk is unplugged.
    GoneDisk(String),
    /// Wait until the NIC is unplugged.
    GoneNic(String),
    /// The guest turns itself off.
    PowerOff,
}

/// Orders in sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders(Vec<Order>);

/// The orders do not fit on a kernel command line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OrdersError {
    /// Too long.
    #[error(
        "orders of {0} bytes do not fit on the kernel command line (at most {PARAMETER_LIMIT}): give fewer"
    )]
    TooLong(usize),
    /// A character would split them.
    #[error("order `{0}` contains a space, comma or quote, which the guest's init cannot take")]
    Unsafe(String),
}

impl Orders {
    /// The orders given, in sequence.
    #[must_use]
    pub fn new(orders: impl IntoIterator<Item = Order>) -> Self {
        Self(orders.into_iter().collect())
    }

    /// The kernel command line of a guest with these orders.
    pub fn kernel_command_line(&self) -> Result<String, OrdersError> {
        for order in &self.0 {
            let text = order.to_string();
            if text
                .contains(|c: char| c == ',' || c == '"' || c == '\'' || c.is_whitespace() || c.is_control())
            {
                return Err(OrdersError::Unsafe(text));
            }
        }
        let list = self.to_string();
        if list.len() > PARAMETER_LIMIT {
            return Err(OrdersError::TooLong(list.len()));
        }
        // A guest that is emulated on a busy machine, or held still while it boots, fails the kernel's check of its timer.
        // No IPv6: router solicitations and neighbour discovery would move bytes that nobody ordered.
        Ok(format!("console=ttyS0 quiet loglevel=1 no_timer_check ipv6.disable=1 weir.orders={list}"))
    }

    /// Bytes that the orders write to a disk. Requests: this divided by [`MIB`].
    #[must_use]
    pub fn write_bytes(&self, disk: &str) -> u64 {
        self.sum(|order| match order {
            Order::Write(on, mib) if on == disk => mib * MIB,
            _ => 0,
        })
    }

    /// Bytes that the orders read from a disk; boot and plugging in add [`BOOT_READ_BYTES`] or [`PLUG_READ_BYTES`].
    #[must_use]
    pub fn read_bytes(&self, disk: &str) -> u64 {
        self.sum(|order| match order {
            Order::Read(on, mib) if on == disk => mib * MIB,
            _ => 0,
        })
    }

    /// Bytes of payload that the orders fetch over a NIC from `/bytes/N`; frames, ACKs and DHCP come on top.
    #[must_use]
    pub fn fetched_bytes(&self, nic: &str) -> u64 {
        self.sum(|order| match order {
            Order::Fetch(over, url) if over == nic => {
                url.rsplit_once("/bytes/").and_then(|(_, count)| count.parse().ok()).unwrap_or(0)
            }
            _ => 0,
        })
    }

    /// Bytes of payload that the orders send over a NIC.
    #[must_use]
    pub fn sent_bytes(&self, nic: &str) -> u64 {
        self.sum(|order| match order {
            Order::Send(over, mib, _) if over == nic => mib * MIB,
            _ => 0,
        })
    }

    /// Seconds of busy loop.
    #[must_use]
    pub fn burnt_seconds(&self) -> u64 {
        self.sum(|order| if let Order::Burn(seconds) = order { *seconds } else { 0 })
    }

    fn sum(&self, of: impl Fn(&Order) -> u64) -> u64 {
        self.0.iter().map(of).sum()
    }
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, order) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{order}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(disk, mib) => write!(f, "write:{disk}:{mib}"),
            Self::Read(disk, mib) => write!(f, "read:{disk}:{mib}"),
            Self::Fetch(nic, url) => write!(f, "fetch:{nic}:{url}"),
            Self::Send(nic, mib, url) => write!(f, "send:{nic}:{mib}:{url}"),
            Self::Burn(seconds) => write!(f, "burn:{seconds}"),
            Self::Sleep(seconds) => write!(f, "sleep:{seconds}"),
            Self::WaitDisk(disk) => write!(f, "waitdisk:{disk}"),
            Self::WaitNic(nic) => write!(f, "waitnic:{nic}"),
            Self::GoneDisk(disk) => write!(f, "gonedisk:{disk}"),
            Self::GoneNic(nic) => write!(f, "gonenic:{nic}"),
            Self::PowerOff => f.write_str("poweroff"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ordered_is_what_is_expected_on_the_meter() {
        let url = "http://10.0.0.1:8000/bytes/5242880".to_owned();
        let orders = Orders::new([
            Order::Write("vda".into(), 32),
            Order::Fetch("eth0".into(), url),
            Order::Burn(3),
            Order::Write("vdb".into(), 8),
            Order::Read("vda".into(), 4),
            Order::Write("vda".into(), 1),
            Order::Send("eth0".into(), 2, "http://10.0.0.1:8000/sink".into()),
        ]);
        assert_eq!((orders.write_bytes("vda"), orders.write_bytes("vdb")), (33 * MIB, 8 * MIB));
        assert_eq!((orders.read_bytes("vda"), orders.read_bytes("vdb")), (4 * MIB, 0));
        assert_eq!((orders.fetched_bytes("eth0"), orders.fetched_bytes("eth1")), (5 * MIB, 0));
        assert_eq!((orders.sent_bytes("eth0"), orders.burnt_seconds()), (2 * MIB, 3));
        let line = orders.kernel_command_line().unwrap();
        assert!(line.ends_with(
            "weir.orders=write:vda:32,fetch:eth0:http://10.0.0.1:8000/bytes/5242880,burn:3,write:vdb:8,read:vda:4,\
             write:vda:1,send:eth0:2:http://10.0.0.1:8000/sink"
        ));
    }

    #[test]
    fn orders_that_init_would_misread_are_refused() {
        let check = |order: Order, expected: fn(&OrdersError) -> bool| {
            assert!(expected(&Orders::new([order]).kernel_command_line().unwrap_err()));
        };
        check(Order::WaitDisk("v d".into()), |error| matches!(error, OrdersError::Unsafe(_)));
        check(Order::WaitDisk("vda,poweroff".into()), |error| matches!(error, OrdersError::Unsafe(_)));
        check(Order::WaitDisk("v".repeat(3000)), |error| matches!(error, OrdersError::TooLong(_)));
    }
}
