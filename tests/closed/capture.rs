//! Everything on the wire of a site, and what there must not be.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::Namespace;
use crate::load::MARK;
use crate::site::{SPI_A, SPI_B};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERNET_OCTETS: usize = 14;
const FILE_HEADER_OCTETS: usize = 24;
const NATT_PORT: u16 = 4500;
const NAT_KEEPALIVE: &[u8] = &[0xff];

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const UDP: u8 = 17;
const ESP: u8 = 50;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;

/// A running tcpdump on `wire`.
#[derive(Debug)]
pub(crate) struct Capture {
    child: Child,
    said: BufReader<ChildStderr>,
    file: tempfile::NamedTempFile,
}

impl Capture {
    /// Starts one and waits until it sees packets.
    pub(crate) fn start(site: &Namespace) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut child = tcpdump(site)
            .args(["-B", "65536", "-s", "2048", "-w"])
            .arg(file.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let said = await_listening(&mut child);
        Self { child, said, file }
    }

    /// Ends it and gives what it saw; it must have seen everything.
    pub(crate) fn finish(mut self) -> Seen {
        std::thread::sleep(Duration::from_millis(100));
        kill_process(pid(&self.child), Signal::INT).unwrap();
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
        let mut octets = Vec::new();
        self.file
            .reopen()
            .unwrap()
            .read_to_end(&mut octets)
            .unwrap();
        Seen(
            frames(&octets, FILE_HEADER_OCTETS)
                .map(<[u8]>::to_vec)
                .collect(),
        )
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A capture whose packets are taken while it runs.
#[derive(Debug)]
pub(crate) struct Tap {
    child: Child,
    packets: mpsc::Receiver<Vec<u8>>,
}

impl Tap {
    /// Takes what `filter` of tcpdump lets through, from the IP header on.
    pub(crate) fn start(site: &Namespace, filter: &str) -> Self {
        let mut command = tcpdump(site);
        command.args(["-w", "-", filter]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut pipe = BufReader::new(child.stdout.take().unwrap());
        let (sender, packets) = mpsc::channel();
        std::thread::spawn(move || {
            let mut header = [0; FILE_HEADER_OCTETS];
            pipe.read_exact(&mut header).ok()?;
            let mut record = [0; 16];
            loop {
                pipe.read_exact(&mut record).ok()?;
                let mut frame = vec![0; captured_octets(&record)];
                pipe.read_exact(&mut frame).ok()?;
                sender.send(frame.split_off(ETHERNET_OCTETS)).ok()?;
            }
            #[expect(unreachable_code, reason = "the type of the closure")]
            Some(())
        });
        drop(await_listening(&mut child));
        Self { child, packets }
    }

    /// The next packet.
    pub(crate) fn next(&self, patience: Duration) -> Option<Vec<u8>> {
        self.packets.recv_timeout(patience).ok()
    }

    /// What came and was not taken yet.
    pub(crate) fn drain(&self) -> Vec<Vec<u8>> {
        self.packets.try_iter().collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn tcpdump(site: &Namespace) -> Command {
    let mut command = site.command("tcpdump");
    // Without immediate mode the kernel keeps packets back for a second, and those are lost at the end.
    command.args(["-i", "wire", "-n", "-U", "-Z", "root", "--immediate-mode"]);
    command.stderr(Stdio::piped());
    command
}

fn await_listening(child: &mut Child) -> BufReader<ChildStderr> {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended");
    }
    said
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn end(child: &mut Child) {
    // It may have ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// Octets of the frame behind a record's header.
fn captured_octets(record: &[u8]) -> usize {
    let octets = u32::from_ne_bytes(record[8..12].try_into().unwrap());
    usize::try_from(octets).unwrap()
}

fn frames(file: &[u8], mut at: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let record = file.get(at..at + 16)?;
        let start = at + 16;
        at = start + captured_octets(record);
        file.get(start..at)
    })
}

/// An ESP packet on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sealed {
    pub(crate) spi: u32,
    /// The initialisation vector, which is the whole sequence number.
    pub(crate) iv: u64,
}

/// All frames of a capture.
#[derive(Debug)]
pub(crate) struct Seen(Vec<Vec<u8>>);

impl Seen {
    /// The ESP packets, in order.
    pub(crate) fn sealed(&self) -> Vec<Sealed> {
        self.0.iter().filter_map(|frame| sealed(frame)).collect()
    }

    /// What should not have been there, each kind once with how often it was.
    pub(crate) fn faults(&self) -> std::collections::BTreeMap<String, usize> {
        let mut found = std::collections::BTreeMap::new();
        for fault in self.0.iter().filter_map(|frame| fault(frame)) {
            *found.entry(fault).or_default() += 1;
        }
        found
    }

    /// Fails if anything of the inside was to be seen, or if nothing sealed was.
    pub(crate) fn assert_closed(&self) {
        assert!(self.sealed().len() > 10, "{} frames", self.0.len());
        let faults = self.faults();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// Protocol, addresses and payload of a frame's IP packet.
struct Outer<'a> {
    protocol: u8,
    is_outside: bool,
    way: String,
    payload: &'a [u8],
}

fn outer(frame: &[u8]) -> Option<Outer<'_>> {
    let packet = frame.get(ETHERNET_OCTETS..)?;
    match u16::from_be_bytes([frame[12], frame[13]]) {
        ETHERTYPE_IPV4 => {
            let address = |at: usize| Ipv4Addr::from(*packet[at..].first_chunk::<4>().unwrap());
            let (source, destination) = (address(12), address(16));
            let is_outside = |it: Ipv4Addr| it.octets()[..3] == [192, 0, 2] || it.is_multicast();
            Some(Outer {
                protocol: packet[9],
                is_outside: is_outside(source) && is_outside(destination),
                way: format!("{source} to {destination}"),
                payload: &packet[usize::from(packet[0] & 15) * 4..],
            })
        }
        ETHERTYPE_IPV6 => {
            let address = |at: usize| Ipv6Addr::from(*packet[at..].first_chunk::<16>().unwrap());
            let (source, destination) = (address(8), address(24));
            let is_outside = |it: Ipv6Addr| {
                it.segments()[..2] == [0x2001, 0xdb8]
                    || it.is_unicast_link_local()
                    || it.is_multicast()
                    || it.is_unspecified()
            };
            Some(Outer {
                protocol: packet[6],
                is_outside: is_outside(source) && is_outside(destination),
                way: format!("{source} to {destination}"),
                payload: &packet[40..],
            })
        }
        _ => None,
    }
}

fn sealed(frame: &[u8]) -> Option<Sealed> {
    let outer = outer(frame)?;
    let esp = match outer.protocol {
        ESP => outer.payload,
        UDP => natt(outer.payload).filter(|&it| it != NAT_KEEPALIVE)?,
        _ => return None,
    };
    let spi = u32::from_be_bytes(*esp.first_chunk()?);
    let iv = u64::from_be_bytes(*esp.get(8..)?.first_chunk()?);
    [SPI_A, SPI_B].contains(&spi).then_some(Sealed { spi, iv })
}

/// What a datagram from and to port 4500 carries.
fn natt(datagram: &[u8]) -> Option<&[u8]> {
    let port = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    (port(0) == NATT_PORT && port(2) == NATT_PORT).then(|| &datagram[8..])
}

fn fault(frame: &[u8]) -> Option<String> {
    let holds = |what: &[u8]| frame.windows(what.len()).any(|window| window == what);
    let inside = ["fd00:77:1::7", "fd00:77:2::7", "fd00:9::1", "fd00:9::2"]
        .map(|address| address.parse::<Ipv6Addr>().unwrap().octets());
    if holds(MARK) {
        return Some("a payload".to_owned());
    }
    if inside.iter().any(|address| holds(address)) {
        return Some("an inner address".to_owned());
    }
    let Some(outer) = outer(frame) else {
        let is_arp = frame[12..14] == ETHERTYPE_ARP.to_be_bytes();
        // The addresses that it asks from and for.
        let is_outside = is_arp && frame[28..31] == [192, 0, 2] && frame[38..41] == [192, 0, 2];
        return (!is_outside).then(|| format!("{:x?}", &frame[12..]));
    };
    let is_known = match outer.protocol {
        ESP => sealed(frame).is_some(),
        UDP => sealed(frame).is_some() || natt(outer.payload) == Some(NAT_KEEPALIVE),
        ICMP => outer.payload[0] == 3,
        IGMP | ICMPV6 | HOP_BY_HOP => true,
        _ => false,
    };
    (!outer.is_outside || !is_known)
        .then(|| format!("protocol {} from {}", outer.protocol, outer.way))
}

/// The ESP packet in an IP packet with or without UDP.
pub(crate) fn esp_of(packet: &[u8]) -> &[u8] {
    let (protocol, payload) = match packet[0] >> 4 {
        4 => (packet[9], &packet[20..]),
        _ => (packet[6], &packet[40..]),
    };
    if protocol == UDP {
        &payload[8..]
    } else {
        payload
    }
}
