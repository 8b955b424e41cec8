//! Socket options without a safe wrapper elsewhere.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{self, Errno};

/// Words of `SO_MEMINFO` (linux/sock_diag.h, `SK_MEMINFO_VARS`); the last one is the drop counter.
const MEMINFO_WORDS: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// Sets an option whose value is one `int`.
pub(in crate::io) fn set_int(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> io::Result<()> {
    // SAFETY: the pointer is to a live c_int and the length is that of a c_int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            octets_of::<c_int>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_error())
    }
}

/// Datagrams that the kernel dropped at this socket because its buffer was full.
pub(in crate::io) fn dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut words = [0u32; MEMINFO_WORDS];
    let mut octets = octets_of::<[u32; MEMINFO_WORDS]>();
    // SAFETY: the kernel writes at most `octets` octets, the size of `words`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut octets,
        )
    };
    if result != 0 {
        return Err(last_error());
    }
    words.get(MEMINFO_DROPS).copied().ok_or(Errno::INVAL)
}

/// Size of a type as the socket calls want it.
#[expect(clippy::cast_possible_truncation, reason = "sizes of small C structs")]
pub(super) const fn octets_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// The calling thread's errno.
pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
