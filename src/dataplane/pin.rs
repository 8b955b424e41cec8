//! Which CPUs the workers run on.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::Pin;

/// The CPUs to pin workers to, in order and around again; none leaves them to the scheduler.
///
/// # Errors
/// A configured CPU that this process may not run on, or what the system says.
pub(super) fn choose(pin: &Pin) -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    match pin {
        Pin::Off => Ok(Vec::new()),
        Pin::Auto => Ok((0..CpuSet::MAX_CPU)
            .filter(|&cpu| allowed.is_set(cpu))
            .collect()),
        Pin::Cpus(cpus) => {
            let cpus: Vec<_> = cpus.iter().map(|&cpu| usize::from(cpu)).collect();
            match cpus
                .iter()
                .find(|&&cpu| cpu >= CpuSet::MAX_CPU || !allowed.is_set(cpu))
            {
                Some(cpu) => Err(io::Error::other(format!(
                    "pin: CPU {cpu} is not one that adit may run on"
                ))),
                None => Ok(cpus),
            }
        }
    }
}

/// Pins the calling thread.
pub(super) fn pin_thread(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}
