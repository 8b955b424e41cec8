//! What `status` shows, put together from the configuration, the worker's gauge, the counters and the kernel.

use std::collections::BTreeMap;
use std::time::Instant;

use adit_proto::counters::Snapshot;
use adit_proto::ike;
use adit_proto::liveness::{DownReason, State};
use adit_proto::wire::esp::Spi;

use tokio::sync::oneshot;

use super::ike::Ike;
use super::tunnel::Managed;
use super::{Daemon, settings};
use crate::config::Netns;
use crate::control::report::{EspStatus, KeepaliveStatus, micros, millis};
use crate::control::{Response, Status, TunnelStatus};
use crate::dataplane::{Reading, TunnelId};
use crate::links::LinkCommand;

impl Daemon {
    /// The state of the tunnel of that name, or of all.
    pub(super) async fn status(&self, name: Option<&str>) -> Response {
        if let Some(name) = name
            && let Err(why) = self.find(name)
        {
            return Response::Refused(why);
        }
        let mut unassigned = Snapshot::default();
        for cell in self.plane.unassigned() {
            unassigned.add(cell);
        }
        let mut tunnels = Vec::new();
        for (&id, tunnel) in &self.tunnels {
            if name.is_none_or(|name| name == tunnel.config.name) {
                let reading = self.plane.read(id).await.filter(|_| tunnel.enabled);
                let dropped = self.device_drops(id).await;
                let lane = self.ike_status(id).await;
                tunnels.push(describe(tunnel, reading.as_ref(), lane.as_deref(), dropped));
            }
        }
        Response::Status(Box::new(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            warnings: self.warnings.clone(),
            unassigned_drops: owned(unassigned.drops()),
            ike: self.ike_counters().await,
            tunnels,
        }))
    }

    async fn ike_counters(&self) -> BTreeMap<String, u64> {
        let counted = match &self.ike {
            Some(lane) => lane.counters().await,
            None => None,
        };
        counted.map_or_else(BTreeMap::new, |counters| owned(counters.named()))
    }

    /// How the associations of a tunnel with IKE stand.
    async fn ike_status(&self, id: TunnelId) -> Option<Box<ike::IkeStatus>> {
        self.with_ike(id).ok()?.status(id).await
    }

    /// Packets that the kernel dropped because nobody read the device in time.
    async fn device_drops(&self, id: TunnelId) -> Option<u64> {
        let (reply, dropped) = oneshot::channel();
        self.links.send(LinkCommand::Dropped(id, reply)).ok()?;
        dropped.await.ok()?
    }
}

fn describe(
    tunnel: &Managed,
    reading: Option<&Reading>,
    lane: Option<&ike::IkeStatus>,
    device_drops: Option<u64>,
) -> TunnelStatus {
    let config = &tunnel.config;
    let (state, reason, since) = state(tunnel, reading);
    let mut counters = Snapshot::default();
    counters.add(&tunnel.counters);
    TunnelStatus {
        name: config.name.clone(),
        mode: config.mode.to_string(),
        interface: config.interface.clone(),
        netns: place(&config.netns),
        outer_netns: place(&config.outer_netns),
        state: state.to_owned(),
        reason,
        state_ms: millis(since.elapsed()),
        local: tunnel.path.map(|path| path.local),
        remote: tunnel.path.map(|path| path.remote),
        remotes: config.remotes.iter().map(ToString::to_string).collect(),
        remote_index: tunnel.candidate.unwrap_or(0),
        mtu: tunnel.enabled.then_some(tunnel.mtu),
        overhead: settings::overhead(config, tunnel.suite(), tunnel.path),
        path_mtu: tunnel.path_mtu.map(|routed| {
            tunnel
                .reported_mtu
                .map_or(routed, |reported| reported.min(routed))
        }),
        worst_case_ms: tunnel.worst_case().map(millis),
        keepalive: reading.and_then(|reading| keepalive(tunnel, reading)),
        esp: reading.and_then(|reading| esp(tunnel, reading)),
        ike: super::ike::status::describe(tunnel, lane, reading, counters.rekey_lost_packets),
        segmentation_fallbacks: reading.and_then(|reading| reading.gso_fallbacks),
        offload: offload(tunnel),
        counters: owned(counters.traffic()),
        drops: owned(counters.drops()),
        kernel_drops: owned(kernel_drops(reading, device_drops)),
        dialects: owned(
            reading
                .iter()
                .flat_map(|reading| reading.dialects.iter().copied()),
        ),
        deaths: tunnel.deaths,
        last_error: tunnel.last_error.clone(),
    }
}

/// State, reason and since when, of which the daemon knows some and the worker the rest.
fn state(tunnel: &Managed, reading: Option<&Reading>) -> (&'static str, Option<String>, Instant) {
    if !tunnel.enabled {
        return ("disabled", None, tunnel.since);
    }
    let liveness = reading.map(|reading| &reading.liveness);
    let since = liveness.map_or(tunnel.since, |liveness| liveness.since);
    let early = tunnel.ike.as_ref().and_then(Ike::before_first);
    let awaits_operator = tunnel.ike.as_ref().and_then(Ike::awaits_operator);
    match (liveness.map(|liveness| liveness.state), &tunnel.trouble) {
        (Some(State::Up | State::Suspect), _) if tunnel.lacks_assignment() => {
            ("connecting", tunnel.last_error.clone(), since)
        }
        (Some(state @ (State::Up | State::Suspect)), _) => (state.name(), None, since),
        (Some(state @ State::Down(_)), _) if awaits_operator.is_some() => {
            (state.name(), awaits_operator.map(str::to_owned), since)
        }
        (_, Some((failure, why))) => (super::tunnel::event_of(*failure), Some(why.clone()), since),
        (Some(State::Down(DownReason::NoSa | DownReason::NoAddress)), None) if early.is_some() => {
            (early.unwrap_or_default(), tunnel.last_error.clone(), since)
        }
        (Some(State::Down(DownReason::NoAddress)) | None, None) => ("resolving", None, since),
        (Some(state @ State::Down(reason)), None) => {
            (state.name(), Some(reason.name().to_owned()), since)
        }
        (Some(state @ State::Probing), None) => (state.name(), None, since),
    }
}

fn kernel_drops(
    reading: Option<&Reading>,
    device: Option<u64>,
) -> impl Iterator<Item = (&'static str, u64)> {
    let socket = reading.map(|reading| ("socket_receive_buffer", reading.socket_drops));
    let device = device.map(|dropped| ("device_queue", dropped));
    socket.into_iter().chain(device)
}

fn keepalive(tunnel: &Managed, reading: &Reading) -> Option<KeepaliveStatus> {
    let keepalive = tunnel.config.keepalive.as_ref()?;
    let liveness = &reading.liveness;
    let statistics = liveness.statistics.unwrap_or_default();
    let times = statistics.round_trips;
    Some(KeepaliveStatus {
        period_ms: millis(keepalive.period),
        retries: u16::from(keepalive.retries),
        sent: statistics.requests,
        answered: statistics.answers,
        lost: statistics.lost,
        rtt_us: times.map(|times| micros(times.last)),
        rtt_min_us: times.map(|times| micros(times.min)),
        rtt_mean_us: times.map(|times| micros(times.smoothed)),
        rtt_max_us: times.map(|times| micros(times.max)),
        since_last_proof_ms: liveness.last_proof.map(|proof| millis(proof.elapsed())),
    })
}

fn esp(tunnel: &Managed, reading: &Reading) -> Option<EspStatus> {
    let ipsec = reading.ipsec?;
    ipsec.spi_in.or(ipsec.spi_out)?;
    Some(EspStatus {
        suite: tunnel.suite()?.name().to_owned(),
        spi_out: ipsec.spi_out.map_or(0, Spi::get),
        spi_in: ipsec.spi_in.map_or(0, Spi::get),
        next_seq: ipsec.next_seq,
        numbers_left: ipsec.numbers_left,
        newest_seq: ipsec.edge,
        peer: tunnel.peer,
    })
}

fn offload(tunnel: &Managed) -> BTreeMap<String, bool> {
    let (config, taken) = (&tunnel.config, tunnel.offload);
    owned([
        ("tso", taken.tso),
        ("uso", taken.uso),
        (
            "tcp-coalesce",
            config.offload.tcp_coalesce && tunnel.coalesces,
        ),
        (
            "udp-coalesce",
            config.offload.udp_coalesce && tunnel.coalesces && taken.uso,
        ),
    ])
}

fn place(netns: &Netns) -> Option<String> {
    match netns {
        Netns::Current => None,
        Netns::Named(name) => Some(name.clone()),
        Netns::Path(path) => Some(path.display().to_string()),
    }
}

fn owned<T>(named: impl IntoIterator<Item = (&'static str, T)>) -> BTreeMap<String, T> {
    named
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
