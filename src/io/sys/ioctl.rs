//! TUN ioctls that tun-rs keeps to itself or lacks (linux/if_tun.h).

use std::ffi::{c_int, c_uint};
use std::os::fd::BorrowedFd;

use rustix::io;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, ioctl, opcode};

const TUNSETOFFLOAD: Opcode = opcode::write::<c_uint>(b'T', 208);
const TUNSETCARRIER: Opcode = opcode::write::<c_int>(b'T', 226);

/// Sets the offload mask (`TUN_F_*`) of a TUN device.
pub(in crate::io) fn tun_set_offload(tun: BorrowedFd<'_>, mask: c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value and touches no memory of ours.
    unsafe {
        ioctl(
            tun,
            IntegerSetter::<TUNSETOFFLOAD>::new_usize(mask as usize),
        )
    }
}

/// Sets the carrier of a TUN device.
pub(in crate::io) fn tun_set_carrier(tun: BorrowedFd<'_>, carrier: bool) -> io::Result<()> {
    // SAFETY: TUNSETCARRIER reads one int, which is what the opcode is declared with.
    unsafe {
        ioctl(
            tun,
            Setter::<TUNSETCARRIER, c_int>::new(c_int::from(carrier)),
        )
    }
}
