//! What the lanes report, turned into events, hooks and the next step of the search for a peer.

use std::time::{Duration, Instant};

use adit_proto::liveness::{DownReason, Event as Seen, Evidence, State};

use super::{Daemon, Message, easy_vpn, hooks};
use crate::control::Event;
use crate::control::report::millis;
use crate::dataplane::{Notice, TunnelId, WorkerNotice};
use crate::keys::StateError;
use crate::links::{GuardFate, LinkNotice};

/// How soon an interface that somebody deleted is made again.
const REMAKE_AFTER: Duration = Duration::from_secs(1);
/// How soon that is tried again, when its name is taken by then.
const REMAKE_RETRY: Duration = Duration::from_secs(5);
/// How soon sequence numbers are asked for again that could not be reserved: half a block is left to use meanwhile.
const RESERVE_RETRY: Duration = Duration::from_secs(5);
/// How long a router's word on the path's MTU counts (RFC 1191 section 6.3): the path may have grown since.
const REPORTED_MTU_FOR: Duration = Duration::from_secs(600);

impl Daemon {
    pub(super) async fn handle_message(&mut self, message: Message) {
        match message {
            Message::Resolved {
                tunnel,
                attempt,
                candidate,
                resolved,
            } => {
                self.handle_resolved(tunnel, attempt, candidate, resolved);
            }
            Message::PathsChanged(outer) => self.paths_changed(outer),
            Message::HookFailed(id, why) => self.complain(id, "hook-failed", why),
            Message::Retry(id, attempt) => {
                if let Some(tunnel) = self
                    .tunnels
                    .get_mut(&id)
                    .filter(|tunnel| tunnel.attempt == attempt)
                {
                    tunnel.timer = None;
                    tunnel.failover.handle_timeout(Instant::now());
                    self.act(id);
                }
            }
            Message::Remake(id, attempt) => {
                let current = self.tunnels.get(&id).map(|tunnel| tunnel.attempt);
                if current == Some(attempt) {
                    self.remake(id).await;
                }
            }
            Message::Reroute(id) => {
                let tunnel = self.tunnels.get_mut(&id);
                if let Some(remote) = tunnel.and_then(|tunnel| tunnel.unreached.take()) {
                    self.route(id, remote);
                }
            }
            Message::KeyState(id, why) => self.handle_key_state(id, why),
            Message::Unreserved(id, error) => {
                if !matches!(error, StateError::Exhausted { .. }) {
                    self.later(RESERVE_RETRY, Message::ReserveAgain(id));
                }
                self.complain(id, "key-state", error.to_string());
            }
            Message::ReserveAgain(id) => self.extend_sequence(id),
            Message::SaveEdges => self.save_edges(),
            Message::EasyVpn(id, why) => self.complain(id, "easy-vpn-failed", why),
            Message::Ike(id, message) => self.handle_ike_message(id, message),
            Message::ForgetMtu(id) => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.forgets_mtu = false;
                    tunnel.reported_mtu = None;
                    if tunnel.path.is_some() {
                        self.apply_mtu(id);
                    }
                }
            }
        }
    }

    /// The window's edge is not saved, which is told once and tried again each second.
    fn handle_key_state(&mut self, id: TunnelId, why: String) {
        let tunnel = self.tunnels.get(&id);
        if tunnel.and_then(|tunnel| tunnel.last_error.as_ref()) != Some(&why) {
            self.complain(id, "key-state", why);
        }
    }

    /// Makes a tunnel's interface anew, until it is there or the operator takes the tunnel down.
    async fn remake(&mut self, id: TunnelId) {
        self.disable(id, GuardFate::Stay).await;
        if let Err(why) = self.enable(id).await {
            self.complain(id, "interface-failed", why);
            if let Some(tunnel) = self.tunnels.get(&id) {
                self.later(REMAKE_RETRY, Message::Remake(id, tunnel.attempt));
            }
        }
    }

    pub(super) fn handle_link(&mut self, notice: LinkNotice) {
        // A verdict comes by way of the link lane: what its worker said before it is told before it.
        for _ in 0..self.inbox.workers.len() {
            if let Ok(earlier) = self.inbox.workers.try_recv() {
                self.handle_worker(earlier);
            }
        }
        match notice {
            LinkNotice::Carried {
                tunnel,
                notice,
                carrier_us,
            } => self.handle_seen(tunnel, &notice, Some(carrier_us)),
            LinkNotice::Passed(tunnel, notice) => self.handle_seen(tunnel, &notice, None),
            LinkNotice::InPlace(tunnel) => self.easy_vpn_in_place(tunnel),
            LinkNotice::TookOver(tunnel, left) => self.inherit_easy_vpn(tunnel, *left),
            LinkNotice::Failed(tunnel, why) => self.complain(tunnel, "interface-failed", why),
            LinkNotice::Gone(id) => {
                self.complain(
                    id,
                    "interface-gone",
                    "somebody deleted the interface; it is made again".to_owned(),
                );
                if let Some(tunnel) = self.tunnels.get(&id) {
                    self.later(REMAKE_AFTER, Message::Remake(id, tunnel.attempt));
                }
            }
        }
    }

    pub(super) fn handle_worker(&mut self, notice: WorkerNotice) {
        match notice {
            WorkerNotice::Seen(id, notice) => self.handle_seen(id, &notice, None),
            WorkerNotice::PathMtu(id, octets) => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.reported_mtu = Some(octets);
                    // One timer, however many routers say so how often.
                    if !std::mem::replace(&mut tunnel.forgets_mtu, true) {
                        self.later(REPORTED_MTU_FOR, Message::ForgetMtu(id));
                    }
                    self.apply_mtu(id);
                }
            }
            WorkerNotice::SequenceLow(id) => self.extend_sequence(id),
            WorkerNotice::SaOld(id, outbound) => {
                let sa = if outbound { "outbound" } else { "inbound" };
                let why = format!("the {sa} SA has passed a soft limit");
                self.complain(id, "sa-soft-limit", why);
            }
            WorkerNotice::PeerMoved(id, peer) => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.peer = Some(peer);
                    let event = Event::new(&tunnel.config.name, "peer-moved", Instant::now());
                    self.announce(event.about(peer));
                }
            }
            WorkerNotice::Segmentation(id, on) => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    let event = Event::new(&tunnel.config.name, "offload", Instant::now());
                    self.announce(event.because(if on {
                        "UDP segmentation is tried again"
                    } else {
                        "the path refused a train at a legal size: packet by packet for a minute"
                    }));
                }
            }
            WorkerNotice::Coalescing(id, on) => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.coalesces = on;
                    let event = Event::new(&tunnel.config.name, "offload", Instant::now());
                    self.announce(event.because(if on {
                        "coalesced packets are tried again"
                    } else {
                        "the device refused a coalesced packet: one by one for a minute"
                    }));
                }
            }
        }
    }

    fn handle_seen(&mut self, id: TunnelId, notice: &Notice, carrier_us: Option<u64>) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        // With IKE the peer's silence is not the only way to lose it: when the next remote has its turn is decided there.
        if tunnel.ike.is_none() || !matches!(notice.event, Seen::Exhausted { .. }) {
            tunnel.failover.handle_event(&notice.event);
        }
        if let Some(mut event) = describe(&tunnel.config.name, notice) {
            event.carrier_us = carrier_us;
            if let Seen::Down { from, .. } = notice.event {
                tunnel.deaths += u64::from(from.forwards());
                event.worst_case_ms = tunnel.worst_case().map(millis);
            }
            if carrier_us.is_some() {
                self.run_hook(id, event.clone());
            }
            self.announce(event);
        }
        self.seen_with_ike(id, &notice.event);
        self.act(id);
    }

    pub(super) fn complain(&mut self, id: TunnelId, event: &str, why: String) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tracing::warn!(tunnel = tunnel.config.name, "{why}");
            tunnel.last_error = Some(why.clone());
            let event = Event::new(&tunnel.config.name, event, Instant::now()).because(why);
            self.announce(event);
        }
    }

    pub(super) fn run_hook(&self, id: TunnelId, event: Event) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        let config = &tunnel.config;
        let Some(hook) = config.hook.clone().filter(|_| config.on_dead.hook) else {
            return;
        };
        let more = tunnel
            .assigned()
            .map_or_else(Vec::new, easy_vpn::environment);
        let run = hooks::run(hook, config.interface.clone(), event, more);
        let messages = self.messages.clone();
        tokio::spawn(async move {
            if let Err(why) = run.await {
                // The loop is gone when the daemon stops.
                let _ = messages.send(Message::HookFailed(id, why)).await;
            }
        });
    }
}

/// The event that operators see; none for what only the search for a peer needs.
fn describe(tunnel: &str, notice: &Notice) -> Option<Event> {
    let (name, path, evidence) = match notice.event {
        Seen::Up { path, evidence } => ("up", path, evidence),
        Seen::Suspect { evidence } => ("suspect", None, evidence),
        Seen::Recovered { evidence } => ("recovered", None, evidence),
        Seen::Probing { evidence } => ("probing", None, evidence),
        Seen::NoData => ("no-data", None, Evidence::default()),
        // Before the first address there is nothing that could have gone down.
        Seen::Down {
            from: State::Probing,
            reason: DownReason::NoAddress,
            ..
        } => return None,
        Seen::Down { path, evidence, .. } => ("down", path, evidence),
        Seen::Exhausted { .. }
        | Seen::PreferredSteady { .. }
        | Seen::PreferredSilent { .. }
        | Seen::DpdProbe { .. }
        | Seen::DpdAnswered
        | Seen::DpdMiss { .. } => return None,
    };
    let mut event = Event::new(tunnel, name, notice.at);
    if let Seen::Down { reason, .. } = notice.event {
        event = event.because(reason.name());
    }
    if notice.event == Seen::NoData {
        event =
            event.because("no data comes in though the peer answers: the child SA is made anew");
    }
    if let Some(path) = path {
        event = event.about(path.remote);
    }
    event.since_last_proof_ms = evidence.since_last_proof.map(millis);
    event.since_first_unanswered_ms = evidence.since_first_unanswered.map(millis);
    Some(event)
}
