//! Two namespaces without a name, the wire between them, and the ends of the tunnel that run there.
//!
//! Each measurement has its own, so that nothing that one tunnel left behind meets the next. All of it is gone when this is dropped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::congestion;
use super::error::BenchError;
use super::mode::outer;
use super::process::{Process, Residents, Usage};
use crate::io::address::Prefix;
use crate::io::ethtool;
use crate::io::link::Link;
use crate::io::netlink::Netlink;
use crate::io::netns;
use crate::sites::Side;

/// Name of each end of the wire.
pub(super) const WIRE: &str = "wire0";
/// How long a killed process may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AFTER: Duration = Duration::from_millis(5);

/// Both ends.
pub(super) struct Wire {
    processes: Vec<Process>,
    ends: [End; 2],
}

struct End {
    namespace: OwnedFd,
    netlink: Netlink,
}

impl Wire {
    /// Makes both namespaces and joins them; without `udp_gso` the wire takes UDP packets one by one, as hardware does. TCP in them
    /// controls congestion as told, or as the system does.
    pub(super) fn make(
        mtu: u32,
        udp_gso: bool,
        congestion_control: Option<&str>,
    ) -> Result<Self, BenchError> {
        let make = || -> Result<End, BenchError> {
            let namespace = netns::create_anonymous()?;
            if let Some(name) = congestion_control {
                congestion::set(namespace.as_fd(), name)?;
            }
            let netlink = netns::within(Some(namespace.as_fd()), Netlink::open)??;
            Ok(End { namespace, netlink })
        };
        let mut ends = [make()?, make()?];
        let [west, east] = &mut ends;
        west.netlink
            .create_veth(WIRE, WIRE, Some(east.namespace.as_fd()))?;
        for (end, side) in ends.iter_mut().zip(Side::BOTH) {
            end.furnish(side, mtu)?;
            if !udp_gso {
                end.refuse_udp_gso()?;
            }
        }
        Ok(Self {
            processes: Vec::new(),
            ends,
        })
    }

    /// The namespace of a side.
    pub(super) fn namespace(&self, side: Side) -> BorrowedFd<'_> {
        self.end(side).namespace.as_fd()
    }

    /// Starts a process at a side.
    pub(super) fn start(
        &mut self,
        side: Side,
        command: Command,
        folder: &std::path::Path,
    ) -> Result<(), BenchError> {
        let namespace = self.end(side).namespace.try_clone()?;
        let process = Process::start(side, command, folder, namespace)?;
        self.processes.push(process);
        Ok(())
    }

    /// Fails when a process that was started has failed.
    pub(super) fn check(&mut self) -> Result<(), BenchError> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// What the processes said last.
    pub(super) fn last_words(&self) -> String {
        self.processes.iter().map(Process::last_words).collect()
    }

    /// What all processes at both ends used so far and hold; none where there is no process.
    pub(super) fn usage(&self) -> Result<Option<Usage>, BenchError> {
        let residents = self.residents()?;
        Ok((residents.count() > 0).then(|| residents.usage()))
    }

    /// An interface of a side.
    pub(super) fn link(&mut self, side: Side, name: &str) -> Result<Option<Link>, BenchError> {
        let [west, east] = &mut self.ends;
        let end = match side {
            Side::West => west,
            Side::East => east,
        };
        Ok(end.netlink.find_link(name)?)
    }

    fn end(&self, side: Side) -> &End {
        let [west, east] = &self.ends;
        match side {
            Side::West => west,
            Side::East => east,
        }
    }

    fn residents(&self) -> std::io::Result<Residents> {
        Residents::of(self.ends.iter().map(|end| &end.namespace))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.processes.iter().for_each(Process::ask_to_end);
        self.processes.iter_mut().for_each(Process::wait);
        self.processes.clear();
        let began = Instant::now();
        while let Ok(residents) = self.residents() {
            if residents.count() == 0 || began.elapsed() > GONE_WITHIN {
                return;
            }
            residents.kill();
            sleep(LOOK_AFTER);
        }
    }
}

impl End {
    fn furnish(&mut self, side: Side, mtu: u32) -> Result<(), BenchError> {
        let loopback = self.index("lo")?;
        self.netlink.set_up(loopback, true)?;
        let wire = self.index(WIRE)?;
        self.netlink.set_mtu(wire, mtu)?;
        let address = Prefix {
            address: outer(side),
            length: 30,
        };
        self.netlink.add_address(wire, address)?;
        Ok(self.netlink.set_up(wire, true)?)
    }

    fn index(&mut self, name: &str) -> Result<u32, BenchError> {
        let link = self.netlink.find_link(name)?;
        link.map(|link| link.index)
            .ok_or_else(|| BenchError::System(format!("a fresh namespace has no interface {name}")))
    }

    fn refuse_udp_gso(&self) -> Result<(), BenchError> {
        netns::within(Some(self.namespace.as_fd()), || {
            ethtool::set_feature(WIRE, "tx-udp-segmentation", false)?;
            ethtool::set_feature(WIRE, "rx-gro", true)
        })?
        .map_err(BenchError::of("a wire without UDP GSO"))
    }
}
