//! The route netlink socket: one request, its answers, and the kernel's own words when it refuses (RFC 3549).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink's enumerations grow with the kernel"
)]

use std::fmt;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;

/// More than the 32 KiB that the kernel puts into one datagram.
const BUFFER_OCTETS: usize = 65_536;
const HEADER_OCTETS: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// A dump during which the table changed is asked again this often.
const DUMP_ATTEMPTS: usize = 8;

/// A request that the kernel refused, or an answer that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetlinkError {
    operation: String,
    errno: Errno,
    detail: Option<String>,
}

impl NetlinkError {
    pub(super) fn new(operation: impl Into<String>, errno: Errno) -> Self {
        Self {
            operation: operation.into(),
            errno,
            detail: None,
        }
    }

    /// The errno: EEXIST, ENODEV, ESRCH (no such route), ENETUNREACH, EPERM and so on.
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.errno)?;
        match &self.detail {
            Some(detail) => write!(f, " (kernel: {detail})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NetlinkError {}

/// A route netlink socket for requests, in the namespace in which it was opened.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What one netlink message in a datagram is to the request that waits for it.
enum Part {
    Answer(Box<RouteNetlinkMessage>),
    Done,
    Refused(Errno, Option<String>),
    Other,
}

impl Netlink {
    /// Opens the socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = || -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // Text and filters are conveniences: kernels before 4.12 and 4.20 do without.
            let _ = socket.set_ext_ack(true);
            let _ = socket.set_cap_ack(true);
            let _ = socket.set_netlink_get_strict_chk(true);
            Ok(socket)
        };
        let socket = open().map_err(|error| failed("open netlink socket", &error))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; BUFFER_OCTETS],
        })
    }

    /// Sends a request that changes something and waits for the acknowledgement.
    pub(super) fn change(
        &mut self,
        operation: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags)
            .map(|_| ())
            .map_err(|refusal| refusal.of(operation()))
    }

    /// Asks for one object.
    pub(super) fn get(
        &mut self,
        operation: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK)
            .map(|answers| answers.into_iter().next())
            .map_err(|refusal| refusal.of(operation()))
    }

    /// Asks for all objects of a kind; a table that changes all the time yields EINTR.
    pub(super) fn dump(
        &mut self,
        operation: &str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut attempt = 1;
        loop {
            match self.exchange(message.clone(), NLM_F_REQUEST | NLM_F_DUMP) {
                Err(refusal) if refusal.errno == Errno::INTR && attempt < DUMP_ATTEMPTS => {
                    attempt += 1
                }
                result => return result.map_err(|refusal| refusal.of(operation.to_owned())),
            }
        }
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut octets = vec![0; request.buffer_len()];
        request.serialize(&mut octets);
        repeat(|| self.socket.send(&octets, 0))?;
        self.answers()
    }

    fn answers(&mut self) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let octets = repeat(|| self.socket.recv(&mut self.buffer.as_mut_slice(), 0))?;
            let datagram = self.buffer.get(..octets).unwrap_or_default();
            for (header, message) in messages(datagram) {
                if header.sequence != self.sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match part(header, message) {
                    Part::Answer(answer) => answers.push(*answer),
                    Part::Done if interrupted => return Err(Refusal::from(Errno::INTR)),
                    Part::Done => return Ok(answers),
                    Part::Refused(errno, detail) => return Err(Refusal { errno, detail }),
                    Part::Other => {}
                }
            }
        }
    }
}

impl fmt::Debug for Netlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netlink")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// A refusal that does not know yet what was asked.
struct Refusal {
    errno: Errno,
    detail: Option<String>,
}

impl Refusal {
    fn of(self, operation: String) -> NetlinkError {
        NetlinkError {
            operation,
            errno: self.errno,
            detail: self.detail,
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            detail: None,
        }
    }
}

/// The fields of struct nlmsghdr that matter here.
#[derive(Clone, Copy)]
pub(super) struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// Splits a datagram into its messages, each with its header in front.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let &[l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, _, _, _, _] =
            rest.first_chunk::<HEADER_OCTETS>()?;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let message = rest
            .get(..length)
            .filter(|message| message.len() >= HEADER_OCTETS)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let header = Header {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        };
        Some((header, message))
    })
}

/// The route message in `message`; None for control messages and for what the parser does not understand.
pub(super) fn route_message(message: &[u8]) -> Option<RouteNetlinkMessage> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message)
        .ok()?
        .payload
    {
        NetlinkPayload::InnerMessage(inner) => Some(inner),
        _ => None,
    }
}

fn part(header: Header, message: &[u8]) -> Part {
    match header.kind {
        NLMSG_DONE | NLMSG_ERROR => {
            let code = message
                .get(HEADER_OCTETS..)
                .and_then(|rest| rest.first_chunk::<4>());
            match code.map_or(0, |code| i32::from_ne_bytes(*code)) {
                0 => Part::Done,
                code => Part::Refused(
                    Errno::from_raw_os_error(code.saturating_abs()),
                    detail(header, message),
                ),
            }
        }
        _ => route_message(message).map_or(Part::Other, |answer| Part::Answer(Box::new(answer))),
    }
}

/// The text that extended acknowledgements carry: attributes after the error code and the header of the refused request.
fn detail(header: Header, message: &[u8]) -> Option<String> {
    if header.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let refused = if header.kind == NLMSG_ERROR {
        HEADER_OCTETS
    } else {
        0
    };
    let mut rest = message.get(HEADER_OCTETS + 4 + refused..)?;
    while let Some(&[l0, l1, k0, k1]) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(4..length)?;
        if u16::from_ne_bytes([k0, k1]) == NLMSGERR_ATTR_MSG {
            let text = value.split(|octet| *octet == 0).next()?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn repeat<T>(mut call: impl FnMut() -> std::io::Result<T>) -> Result<T, Errno> {
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }
}

fn failed(operation: &str, error: &std::io::Error) -> NetlinkError {
    NetlinkError::new(operation, Errno::from_io_error(error).unwrap_or(Errno::IO))
}
