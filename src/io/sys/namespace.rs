//! Leaving the namespaces that the caller is in.

use rustix::io;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a fresh network namespace.
pub(in crate::io) fn unshare_network() -> io::Result<()> {
    // SAFETY: only CLONE_FILES and CLONE_FS change what other code of this thread may rely on; CLONE_NEWNET closes nothing.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Moves the calling process, which must have one thread only, into fresh user and mount namespaces.
pub(in crate::io) fn unshare_user() -> io::Result<()> {
    // SAFETY: as above; descriptors, memory and the working directory stay as they are.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
}
