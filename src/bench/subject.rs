//! One subject at both ends of a wire: started, asked, gone when it is dropped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Options;
use super::error::BenchError;
use super::interrupt::Interrupt;
use super::latency::{self, Echo};
use super::mode::{BASELINE_INTERFACE, INTERFACE, Mode, inner, outer, write_configurations};
use super::wire::{WIRE, Wire};
use crate::control::{Client, Request, Response};
use crate::sites::{Folder, Side};

/// Until traffic goes through a tunnel of adit, and through another one.
const COMES_WITHIN: Duration = Duration::from_secs(10);
const BASELINE_COMES_WITHIN: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bare wire or a tunnel of adit.
    Mode(Mode),
    /// The tunnel that this shell command brings up.
    Command(String),
}

/// It, running.
pub(super) struct Running {
    /// Both ends, and the processes there.
    pub(super) wire: Wire,
    kind: Kind,
    folder: Folder,
    echo: Echo,
}

/// What was lost so far, by the counters of both ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// By reason.
    pub(super) drops: BTreeMap<String, u64>,
    /// At the tunnels' devices.
    pub(super) tun_tx_dropped: u64,
    /// At the endpoints' sockets.
    pub(super) socket_overflow: u64,
}

impl Running {
    /// Makes a wire, starts the subject at both ends and waits until packets come and go.
    pub(super) fn start(
        kind: &Kind,
        options: &Options,
        interrupt: &Interrupt,
    ) -> Result<Self, BenchError> {
        let folder = Folder::make("adit-bench").map_err(BenchError::of("a temporary folder"))?;
        let mut wire = Wire::make(
            options.mtu,
            options.udp_gso,
            options.congestion_control.as_deref(),
        )?;
        if let Kind::Mode(mode) = kind {
            write_configurations(*mode, &options.endpoints, folder.path())
                .map_err(BenchError::of(&folder.path().display().to_string()))?;
        }
        for side in Side::BOTH {
            match kind {
                Kind::Mode(Mode::None) => {}
                Kind::Mode(_) => wire.start(side, endpoint(side, folder.path()), folder.path())?,
                Kind::Command(command) => {
                    let command = baseline(side, command, options.mtu, folder.path())?;
                    wire.start(side, command, folder.path())?;
                }
            }
        }
        let echo = Echo::open(wire.namespace(Side::East), address(kind, Side::East))?;
        let mut running = Self {
            wire,
            kind: kind.clone(),
            folder,
            echo,
        };
        running.wait(interrupt)?;
        Ok(running)
    }

    /// The echo at the eastern end.
    pub(super) fn echo(&self) -> &Echo {
        &self.echo
    }

    /// The address of a side to which traffic is sent.
    pub(super) fn address(&self, side: Side) -> IpAddr {
        address(&self.kind, side)
    }

    /// What was lost so far; none where nobody counts.
    pub(super) fn losses(&mut self) -> Result<Option<Losses>, BenchError> {
        let mut losses = Losses::default();
        let Kind::Mode(mode) = self.kind else {
            return Ok(None);
        };
        for side in Side::BOTH {
            if let Some(wire) = self.wire.link(side, WIRE)? {
                let dropped = wire.statistics.rx_dropped + wire.statistics.tx_dropped;
                *losses.drops.entry("wire".to_owned()).or_default() += dropped;
            }
            if mode != Mode::None {
                self.add_tunnel(side, &mut losses)?;
            }
        }
        Ok(Some(losses))
    }

    fn add_tunnel(&mut self, side: Side, losses: &mut Losses) -> Result<(), BenchError> {
        if let Some(device) = self.wire.link(side, INTERFACE)? {
            losses.tun_tx_dropped += device.statistics.tx_dropped;
            let refused = device.statistics.rx_dropped + device.statistics.rx_errors;
            *losses.drops.entry("tun_rx".to_owned()).or_default() += refused;
        }
        let answer = Client::connect(&socket(side, self.folder.path()))
            .and_then(|mut client| client.ask(&Request::Status { tunnel: None }))
            .map_err(BenchError::of(side.name()))?;
        let status = match answer {
            Response::Status(status) => status,
            Response::Done | Response::Event(_) | Response::Trace(_) | Response::Refused(_) => {
                return Err(BenchError::System(format!(
                    "{} shows no status",
                    side.name()
                )));
            }
        };
        let tunnels = status.tunnels.iter().map(|tunnel| &tunnel.drops);
        for (reason, count) in tunnels.chain([&status.unassigned_drops]).flatten() {
            *losses.drops.entry(reason.clone()).or_default() += count;
        }
        let kernel = status
            .tunnels
            .iter()
            .flat_map(|tunnel| &tunnel.kernel_drops);
        losses.socket_overflow += kernel
            .filter(|(place, _)| place.as_str() != "device_queue")
            .map(|(_, count)| count)
            .sum::<u64>();
        Ok(())
    }

    fn wait(&mut self, interrupt: &Interrupt) -> Result<(), BenchError> {
        let limit = match self.kind {
            Kind::Mode(_) => COMES_WITHIN,
            Kind::Command(_) => BASELINE_COMES_WITHIN,
        };
        let started = Instant::now();
        while !latency::answers(self.wire.namespace(Side::West), self.echo.address()) {
            self.wire.check()?;
            if started.elapsed() > limit {
                return Err(BenchError::Late(format!(
                    "nothing came through the tunnel within {limit:?}{}",
                    self.wire.last_words()
                )));
            }
            interrupt.sleep(Duration::from_millis(20))?;
        }
        Ok(())
    }
}

impl Losses {
    /// What was lost since an earlier time.
    pub(super) fn since(&self, before: &Self) -> Self {
        let drops = self.drops.iter().map(|(reason, count)| {
            let earlier = before.drops.get(reason).copied().unwrap_or(0);
            (reason.clone(), count.saturating_sub(earlier))
        });
        Self {
            drops: drops.filter(|(_, count)| *count > 0).collect(),
            tun_tx_dropped: self.tun_tx_dropped.saturating_sub(before.tun_tx_dropped),
            socket_overflow: self.socket_overflow.saturating_sub(before.socket_overflow),
        }
    }
}

fn address(kind: &Kind, side: Side) -> IpAddr {
    match kind {
        Kind::Mode(Mode::None) => outer(side),
        Kind::Mode(_) | Kind::Command(_) => inner(side).address,
    }
}

fn socket(side: Side, folder: &Path) -> PathBuf {
    folder.join(format!("{}.sock", side.name()))
}

fn endpoint(side: Side, folder: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("run")
        .arg("-c")
        .arg(folder.join(format!("{}.toml", side.name())))
        .arg("--socket")
        .arg(socket(side, folder));
    command
}

/// The command with what it has to know in its environment, and with folders to write to: one of this side, one of both.
fn baseline(side: Side, script: &str, mtu: u32, folder: &Path) -> io::Result<Command> {
    let own = folder.join(format!("{}-state", side.name()));
    let shared = folder.join("shared");
    fs::create_dir_all(&own)?;
    fs::create_dir_all(&shared)?;
    let prefix = |side| format!("{}/24", inner(side).address);
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("SIDE", side.name())
        .env("DEVICE", BASELINE_INTERFACE)
        .env("LOCAL", outer(side).to_string())
        .env("REMOTE", outer(side.other()).to_string())
        .env("INNER", prefix(side))
        .env("PEER_INNER", prefix(side.other()))
        .env("MTU", mtu.to_string())
        .env("STATE", own)
        .env("SHARED", shared);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_since_a_time_are_those_that_came_after_it() {
        let of = |drops: &[(&str, u64)], tun, socket| Losses {
            drops: drops
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            tun_tx_dropped: tun,
            socket_overflow: socket,
        };
        let before = of(&[("a", 1), ("b", 2)], 10, 20);
        let after = of(&[("a", 1), ("b", 5), ("c", 1)], 11, 22);
        assert_eq!(after.since(&before), of(&[("b", 3), ("c", 1)], 1, 2));
    }
}
