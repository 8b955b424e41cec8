//! The ethtool ioctl (linux/ethtool.h): features of an interface.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{self, Errno};

use super::option::last_error;

/// Octets of a feature's name, zero-filled.
pub(in crate::io) const NAME_OCTETS: usize = 32;
/// Features a block of bits.
const BLOCK: usize = 32;
/// Set of strings that names the features (ETH_SS_FEATURES).
const FEATURES: u32 = 4;
const GET_STRINGS: u32 = 0x1b;
const GET_SET_SIZE: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;

/// The name of an interface as the ioctl wants it.
#[derive(Clone, Copy)]
pub(in crate::io) struct Interface([u8; libc::IFNAMSIZ]);

impl Interface {
    /// None when no interface can have the name.
    pub(in crate::io) fn new(name: &str) -> Option<Self> {
        let mut octets = [0; libc::IFNAMSIZ];
        let fits = !name.is_empty() && name.len() < octets.len() && !name.contains('\0');
        octets
            .iter_mut()
            .zip(name.bytes())
            .for_each(|(to, from)| *to = from);
        fits.then_some(Self(octets))
    }
}

/// Names of all features that the kernel knows, in the order of their bits.
pub(in crate::io) fn feature_names(
    socket: BorrowedFd<'_>,
    interface: Interface,
) -> io::Result<Vec<[u8; NAME_OCTETS]>> {
    let count = feature_count(socket, interface)?;
    // struct ethtool_gstrings: command 4 | set 4 | count 4 | names 32 each
    const HEAD: usize = 3;
    let mut request = vec![0u32; HEAD + count * NAME_OCTETS / size_of::<u32>()];
    let words = [
        GET_STRINGS,
        FEATURES,
        u32::try_from(count).map_err(|_| Errno::OVERFLOW)?,
    ];
    request
        .iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = from);
    // SAFETY: the kernel writes the names of all its features, as many as it said, for which there is room behind the head.
    unsafe { call(socket, interface, &mut request)? };
    let octets: Vec<u8> = request
        .iter()
        .skip(HEAD)
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    Ok(octets.as_chunks().0.to_vec())
}

fn feature_count(socket: BorrowedFd<'_>, interface: Interface) -> io::Result<usize> {
    // struct ethtool_sset_info: command 4 | reserved 4 | mask of sets 8 | size 4 of each
    let mut request = [0u32; 5];
    let mask = (1u64 << FEATURES).to_ne_bytes();
    let [a, b, c, d, e, f, g, h] = mask;
    request[0] = GET_SET_SIZE;
    request[2] = u32::from_ne_bytes([a, b, c, d]);
    request[3] = u32::from_ne_bytes([e, f, g, h]);
    // SAFETY: one bit of the mask is set, and for each such bit the kernel writes one word behind the mask.
    unsafe { call(socket, interface, &mut request)? };
    Ok(request[4] as usize)
}

/// Whether feature `index` of `count` is active.
pub(in crate::io) fn is_active(
    socket: BorrowedFd<'_>,
    interface: Interface,
    index: usize,
    count: usize,
) -> io::Result<bool> {
    // struct ethtool_gfeatures: command 4 | blocks 4 | (available 4 | requested 4 | active 4 | never changed 4) a block
    let blocks = count.div_ceil(BLOCK);
    let mut request = vec![0u32; 2 + 4 * blocks];
    let words = [
        GET_FEATURES,
        u32::try_from(blocks).map_err(|_| Errno::OVERFLOW)?,
    ];
    request
        .iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = from);
    // SAFETY: the kernel writes at most as many blocks as the head says, for which there is room behind it.
    unsafe { call(socket, interface, &mut request)? };
    let active = request.get(2 + 4 * (index / BLOCK) + 2);
    Ok(active.is_some_and(|active| active >> (index % BLOCK) & 1 == 1))
}

/// Asks for feature `index` of `count` to be on or off; what the interface cannot change stays as it is.
pub(in crate::io) fn request(
    socket: BorrowedFd<'_>,
    interface: Interface,
    index: usize,
    count: usize,
    on: bool,
) -> io::Result<()> {
    // struct ethtool_sfeatures: command 4 | blocks 4 | (valid 4 | requested 4) a block
    let blocks = count.div_ceil(BLOCK);
    let mut request = vec![0u32; 2 + 2 * blocks];
    let words = [
        SET_FEATURES,
        u32::try_from(blocks).map_err(|_| Errno::OVERFLOW)?,
    ];
    request
        .iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = from);
    let bit = 1 << (index % BLOCK);
    if let Some(block) = request
        .get_mut(2 + 2 * (index / BLOCK)..)
        .and_then(<[u32]>::first_chunk_mut)
    {
        *block = [bit, if on { bit } else { 0 }];
    }
    // SAFETY: the kernel reads as many blocks as the head says, which are there, and writes nothing.
    unsafe { call(socket, interface, &mut request) }
}

/// Hands `request` to the kernel.
///
/// # Safety
///
/// The command in the first word of `request` makes the kernel read and write no more than its length.
unsafe fn call(
    socket: BorrowedFd<'_>,
    interface: Interface,
    request: &mut [u32],
) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is a valid one (an empty name, a null pointer).
    let mut argument: libc::ifreq = unsafe { std::mem::zeroed() };
    argument
        .ifr_name
        .iter_mut()
        .zip(interface.0)
        .for_each(|(to, from)| *to = from.cast_signed());
    argument.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL reads and writes the ifreq and what it points at, which is live and, as the caller promises, long enough.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut argument) };
    if result < 0 {
        return Err(last_error());
    }
    Ok(())
}
