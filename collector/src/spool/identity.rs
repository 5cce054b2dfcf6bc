//! Who this node is: a small file beside the log, so that a log that is damaged makes no other node of it.
//!
//! It also says below which number all batches lie that were ever made: a log that was lost goes on above.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use metering::NodeId;
use uuid::Uuid;

#[cfg(test)]
use super::crashes;

/// The layout of the directory. A release that finds a higher one does not touch it.
pub const FORMAT: u32 = 1;

/// Numbers are set aside in steps of this, so that the file is written once a week and not at each look.
pub const NUMBERS_STEP: u64 = 10_000;

const FILE: &str = "identity";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub node_id: NodeId,
    /// All numbers that were ever used are below; 0: none was.
    pub numbers_below: u64,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole one.
    Identity(Identity),
    /// None.
    Nothing,
    /// One that cannot be read.
    Damaged,
    /// One of a newer release.
    Newer(u32),
}

impl Identity {
    /// Reads the identity in `dir`.
    pub fn read(dir: &Path) -> io::Result<Found> {
        let text = match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        Ok(parse(&text).unwrap_or(Found::Damaged))
    }

    /// Writes it: the old one or the new one is there, whatever happens meanwhile.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        write_atomically(dir, FILE, self.text().as_bytes())
    }

    fn text(&self) -> String {
        let body = format!("{FORMAT} {} {}", self.node_id.uuid(), self.numbers_below);
        format!("weir-node {body} {:08x}\n", crc32fast::hash(body.as_bytes()))
    }
}

/// Writes a whole file durably, or leaves the old one.
pub fn write_atomically(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        #[cfg(test)]
        crashes::point();
        file.sync_all()?;
        #[cfg(test)]
        crashes::point();
        std::fs::rename(&temporary, dir.join(name))
    })();
    #[cfg(test)]
    crashes::point();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    File::open(dir)?.sync_all()
}

fn parse(text: &str) -> Option<Found> {
    let body = text.trim_end().strip_prefix("weir-node ")?;
    let (body, sum) = body.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let mut words = body.split(' ');
    let format = words.next()?.parse().ok()?;
    if FORMAT < format {
        return Some(Found::Newer(format));
    }
    let node_id = NodeId::from_uuid(Uuid::parse_str(words.next()?).ok()?);
    Some(Found::Identity(Identity { node_id, numbers_below: words.next()?.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_in_the_identity_is_noticed_and_a_newer_one_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Found::Nothing);
        let identity = Identity { node_id: NodeId::from_uuid(Uuid::from_u128(7)), numbers_below: 10_001 };
        identity.write(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Found::Identity(identity));
        let text = identity.text();
        for position in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let found = parse(&String::from_utf8_lossy(&bytes));
            assert!(!matches!(found, Some(Found::Identity(other)) if other != identity), "byte {position}");
        }
        let body = format!("{} {} 1 more", FORMAT + 1, Uuid::nil());
        let newer = format!("weir-node {body} {:08x}\n", crc32fast::hash(body.as_bytes()));
        assert_eq!(parse(&newer), Some(Found::Newer(FORMAT + 1)));
    }
}
