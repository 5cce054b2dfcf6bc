//! Netlink: sockets, messages and attributes, as much of it as the kernel path needs. It knows no figure.
//!
//! Everything that comes in is walked by lengths that are checked: a message that is cut ends the walk, no more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

/// The kernel fills a dump's messages up to 32 KiB.
const BUFFER: usize = 64 << 10;

/// Of an attribute's type, the bits that are flags.
const TYPE_MASK: u16 = 0x3fff;

/// A socket.
pub struct Socket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is.
    pub kind: u16,
    /// What comes after its header.
    pub body: &'a [u8],
}

/// What was received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Something, and there may be more.
    Some,
    /// Nothing waits.
    Nothing,
    /// The socket's buffer was full and messages were lost.
    Overrun,
}

impl Socket {
    /// A socket of a protocol (`None`: links and routes) that hears the multicast groups of the mask `groups`.
    pub fn open(protocol: Option<Protocol>, groups: u32) -> Result<Self, Errno> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { fd, seq: 0, buffer: vec![0; BUFFER] })
    }

    /// Asks for a receive buffer of that many bytes, beyond the system's limit where that is allowed.
    pub fn want_buffer(&self, bytes: usize) {
        use rustix::net::sockopt;
        if sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes).is_err() {
            // The limit of the system is what there is then; an overrun is noticed in any case.
            let _ = sockopt::set_socket_recv_buffer_size(&self.fd, bytes);
        }
    }

    /// Sends a request that the kernel acknowledges, and waits for that.
    pub fn command(&mut self, kind: u16, body: &[u8]) -> Result<(), Errno> {
        self.request(kind, NLM_F_REQUEST | NLM_F_ACK, body, |_| {})
    }

    /// The same, and hands over the answer that comes before the acknowledgement.
    pub fn command_with_answer(
        &mut self,
        kind: u16,
        body: &[u8],
        take: impl FnMut(Message<'_>),
    ) -> Result<(), Errno> {
        self.request(kind, NLM_F_REQUEST | NLM_F_ACK, body, take)
    }

    /// Sends a request and hands over each message of the answer.
    pub fn dump(&mut self, kind: u16, body: &[u8], take: impl FnMut(Message<'_>)) -> Result<(), Errno> {
        self.request(kind, NLM_F_REQUEST | NLM_F_DUMP, body, take)
    }

    /// Hands over what one receive call gives, without waiting.
    pub fn receive(&mut self, mut take: impl FnMut(Message<'_>)) -> Result<Received, Errno> {
        match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, length)) => {
                let bytes = &self.buffer[..length.min(self.buffer.len())];
                for (message, _) in messages(bytes) {
                    take(message);
                }
                Ok(Received::Some)
            }
            Err(Errno::AGAIN) => Ok(Received::Nothing),
            Err(Errno::NOBUFS) => Ok(Received::Overrun),
            Err(Errno::INTR) => Ok(Received::Some),
            Err(error) => Err(error),
        }
    }

    fn request(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut take: impl FnMut(Message<'_>),
    ) -> Result<(), Errno> {
        self.seq = self.seq.wrapping_add(1);
        let seq = self.seq;
        let length = u32::try_from(HEADER + body.len()).map_err(|_| Errno::MSGSIZE)?;
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend_from_slice(&length.to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&flags.to_ne_bytes());
        request.extend_from_slice(&seq.to_ne_bytes());
        request.extend_from_slice(&0_u32.to_ne_bytes());
        request.extend_from_slice(body);
        rustix::net::send(&self.fd, &request, SendFlags::empty())?;
        loop {
            let length = match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => length.min(self.buffer.len()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            for (message, of) in messages(&self.buffer[..length]) {
                match message.kind {
                    _ if of != seq => {}
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return error_of(message.body),
                    _ => take(message),
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The messages in a buffer, each with its sequence number.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (Message<'_>, u32)> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let body = bytes.get(HEADER..length)?;
        let message = Message { kind: u16_at(bytes, 4)?, body };
        let seq = u32_at(bytes, 8)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((message, seq))
    })
}

/// The attributes in a buffer: type and content of each.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let content = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2)? & TYPE_MASK;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, content))
    })
}

/// The first attribute of a type.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, content)| content)
}

/// Text up to its zero byte.
pub fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// Adds an attribute that holds text.
pub fn push_text(body: &mut Vec<u8>, kind: u16, text: &str) {
    let length = u16::try_from(4 + text.len() + 1).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(text.as_bytes());
    body.push(0);
    body.resize(aligned(body.len()), 0);
}

/// The number at an offset.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The number at an offset.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The number at an offset.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn aligned(length: usize) -> usize {
    length.div_ceil(4) * 4
}

fn error_of(body: &[u8]) -> Result<(), Errno> {
    let code = u32_at(body, 0).map_or(0, u32::cast_signed);
    if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code.wrapping_neg())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let mut body = Vec::new();
        push_text(&mut body, 7, "a");
        push_text(&mut body, 9, "longer");
        let found: Vec<(u16, &str)> =
            attributes(&body).map(|(kind, content)| (kind, text(content))).collect();
        assert_eq!(found, [(7, "a"), (9, "longer")]);
        assert_eq!(attribute(&body, 9).map(text), Some("longer"));
        assert_eq!(attribute(&body, 8), None);
    }

    proptest! {
        #[test]
        fn a_message_that_is_cut_or_nonsense_ends_the_walk_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for (message, _) in messages(&bytes) {
                for (_, content) in attributes(message.body) {
                    prop_assert!(content.len() <= bytes.len());
                }
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
