//! A tunnel whose security associations IKE makes: when it begins with a peer, when it gives up, and what it does then.
//!
//! Who begins: with `start = "auto"`, and once enabled with `connect = "manual"`, the tunnel itself, as soon as the failover machine has a remote; with `on-traffic` when a packet
//! waits; else only the peer. A remote that fails gives way to the next at once; after all of them failed there is a pause that grows.

mod attempt;
mod configured;
pub(super) mod connection;
mod credentials;
mod failback;
mod idle;
mod lives;
mod notices;
mod operator;
mod reach;
pub(super) mod status;
mod trace;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::Suite;
use adit_proto::ikev1::Assigned;
use adit_proto::liveness::{DownReason, Event as Seen};
use adit_proto::wire::esp::Spi;

use super::{Daemon, settings};
use crate::config::{Start, TunnelConfig};
use crate::control::What;
use crate::dataplane::TunnelId;
use crate::ike_lane::{Act, ChildUp, IkeCommand, IkeLane, NewConnection};
use attempt::Again;
use credentials::Credentials;
use lives::Lives;

/// The peer's port.
const REMOTE_PORT: u16 = 500;
/// How soon what could not be done for want of a socket or a route is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Something that arrived for a tunnel's IKE; a number is that of the tunnel's attempt that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    /// The name of this remote means this address.
    Learned(u64, usize, IpAddr),
    /// The names of the remotes are to be resolved again.
    Learn(u64),
    /// The pause after a failure is over.
    BeginAgain(u64),
    /// The remote in use may be asked again.
    SameRemote(u64),
    /// The preferred remote is there, or is not: the answer to the question of the second number.
    Asked(u64, u64, IpAddr, bool),
    /// It is to be asked again, whether or not it was there.
    AskAgain(u64, u64, IpAddr, bool),
    /// Packets with this index will not come any more.
    Disclaim(Spi),
}

/// How far a tunnel is with its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no attempt of ours and no association.
    Rest,
    /// We have begun with a peer.
    Initiating {
        /// Our address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// There is an IKE SA.
    Established,
}

/// What the daemon knows of a tunnel's IKE.
#[derive(Debug)]
pub(super) struct Ike {
    credentials: Credentials,
    /// The suite that is asked for first.
    wanted: Suite,
    pub(super) phase: Phase,
    /// Whether the tunnel looks for its peer itself.
    pub(super) seeks: bool,
    /// The pair of child SAs in use.
    pub(super) child: Option<ChildUp>,
    /// Attempts in a row that came to nothing.
    failures: u32,
    lives: Lives,
    /// A timer runs that begins again.
    pauses: bool,
    /// Since when the preferred remote has been there, while another is in use.
    preferred_since: Option<Instant>,
    /// The number of the last question to it: there is one at a time.
    question: u64,
    /// It answered for its time, and takes the place of the one in use.
    fails_back: bool,
    /// What the names of the remotes mean.
    known: BTreeMap<usize, IpAddr>,
    /// The tunnel was shut because nobody used it.
    is_shut: bool,
    /// Why no attempt is made before the operator asks for one: a server did not let us in, or the connection is made by hand.
    awaits_operator: Option<String>,
    /// The peer answers when it is asked whether it lives.
    answers_probes: bool,
    /// What an Easy VPN server assigned.
    assigned: Option<Box<Assigned>>,
    /// Remotes of the configuration, behind which come those that a server named.
    own_remotes: usize,
}

impl Ike {
    /// Reads the secrets of a tunnel that has IKE.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(super) fn open(config: &TunnelConfig) -> Result<Option<Self>, String> {
        let Some(ike) = &config.ike else {
            return Ok(None);
        };
        Ok(Some(Self {
            credentials: Credentials::read(&config.name, ike)?,
            wanted: connection::first_suite(ike),
            phase: Phase::Rest,
            seeks: false,
            child: None,
            failures: 0,
            lives: Lives::default(),
            pauses: false,
            preferred_since: None,
            question: 0,
            fails_back: false,
            known: BTreeMap::new(),
            is_shut: false,
            awaits_operator: None,
            answers_probes: true,
            assigned: None,
            own_remotes: config.remotes.len(),
        }))
    }

    /// What the tunnel does while it has had no associations.
    pub(super) fn before_first(&self) -> Option<&'static str> {
        if self.awaits_operator.is_some() {
            return None;
        }
        match (self.phase, self.seeks) {
            (Phase::Initiating { .. }, _) | (Phase::Rest, true) => Some("connecting"),
            (Phase::Rest, false) => Some("waiting"),
            (Phase::Established, _) => None,
        }
    }

    /// Why only the operator may have it try again, where that is so.
    pub(super) fn awaits_operator(&self) -> Option<&str> {
        self.awaits_operator.as_deref()
    }

    /// Whether the peer answers when it is asked whether it lives: where it does not, it is never dead for its silence.
    pub(super) fn answers_probes(&self) -> bool {
        self.answers_probes
    }

    /// What seals the packets, or, before anything is agreed upon, would at first choice.
    pub(super) fn suite(&self) -> Suite {
        self.child.as_ref().map_or(self.wanted, |child| child.suite)
    }

    /// The associations are gone.
    fn lose(&mut self) {
        self.phase = Phase::Rest;
        self.child = None;
    }

    fn rest(&mut self, seeks: bool) {
        self.lose();
        self.seeks = seeks;
        self.failures = 0;
        self.lives = Lives::default();
        self.pauses = false;
        self.preferred_since = None;
        self.is_shut = false;
        self.answers_probes = true;
    }
}

impl Daemon {
    /// Whether the failover machine is listened to: a tunnel that waits for its peer, or for traffic, does not look for one.
    pub(super) fn seeks(&self, id: TunnelId) -> bool {
        let ike = self.tunnels.get(&id).and_then(|tunnel| tunnel.ike.as_ref());
        ike.is_none_or(|ike| ike.seeks)
    }

    /// Refuses a pre-shared key that tunnels of both versions have: whoever guesses it in version 1 has it in both.
    pub(super) fn check_psks(&self) -> Result<(), (String, String)> {
        let of = |is_v1: bool| {
            self.tunnels.values().filter_map(move |tunnel| {
                let version = tunnel.config.ike.as_ref()?;
                let is_meant = version.v1().is_some() == is_v1;
                Some((
                    &tunnel.config.name,
                    tunnel.ike.as_ref().filter(|_| is_meant)?,
                ))
            })
        };
        for (name, ike) in of(true) {
            let mut others = of(false);
            let same = |other: &Ike| ike.credentials.is_same_psk(&other.credentials);
            if let Some((other, _)) = others.find(|(_, other)| same(other)) {
                let why = format!(
                    "its pre-shared key is that of tunnel {other:?}, which has another version of IKE: whoever guesses it in version 1 has it in both"
                );
                return Err((name.clone(), why));
            }
        }
        Ok(())
    }

    fn lane(&self) -> Option<&IkeLane> {
        self.ike.as_ref()
    }

    /// Has the lane take an enabled tunnel over.
    pub(super) fn enable_ike(&mut self, id: TunnelId) {
        self.hand_to_lane(id);
        self.learn_remotes(id);
        self.listen_for_peers(id);
    }

    fn hand_to_lane(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let start = tunnel.config.start;
        let initiators = tunnel.initiators();
        let (Some(ike), Some(config)) = (&mut tunnel.ike, &tunnel.config.ike) else {
            return;
        };
        let begins = matches!(start, Start::Auto | Start::Manual);
        ike.rest(begins && ike.awaits_operator.is_none());
        let made = match connection::new(&tunnel.config, config, &ike.credentials, initiators) {
            Ok(made) => made,
            Err(why) => return self.complain(id, "ike-failed", why),
        };
        let policy = connection::policy(&tunnel.config, config);
        let new = NewConnection {
            name: Arc::from(&*tunnel.config.name),
            netns: tunnel.outer,
            agreement: made,
            policy,
            wakes: settings::wakes(&tunnel.config),
        };
        if let Some(lane) = self.lane() {
            lane.post(IkeCommand::Add(id, Box::new(new)));
        }
    }

    /// Has the lane let go of a tunnel, whose peer is told.
    pub(super) async fn disable_ike(&mut self, id: TunnelId) {
        let Some(ike) = self.tunnels.get_mut(&id).and_then(|it| it.ike.as_mut()) else {
            return;
        };
        ike.rest(false);
        if let Some(lane) = self.ike.clone() {
            lane.remove(id).await;
        }
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.forget_assigned();
        }
    }

    fn tell_lane(&self, command: IkeCommand) {
        if let Some(lane) = self.lane() {
            lane.post(command);
        }
    }

    fn act_on(&self, id: TunnelId, act: Act) {
        if let Some(lane) = self.lane() {
            lane.act(id, act);
        }
    }

    /// What arrived for a tunnel, unless something overtook it.
    pub(super) fn handle_ike_message(&mut self, id: TunnelId, message: Message) {
        let current = self
            .tunnels
            .get(&id)
            .filter(|tunnel| tunnel.enabled)
            .map(|tunnel| tunnel.attempt);
        let is_current = |attempt| current == Some(attempt);
        let ike = self.tunnels.get(&id).and_then(|tunnel| tunnel.ike.as_ref());
        let question = ike.map(|ike| ike.question);
        let is_last = |attempt, asked| is_current(attempt) && question == Some(asked);
        match message {
            Message::Learned(attempt, candidate, address) if is_current(attempt) => {
                self.learned(id, candidate, address);
            }
            Message::Learn(attempt) if is_current(attempt) => self.learn_remotes(id),
            Message::BeginAgain(attempt) if is_current(attempt) => self.begin(id),
            Message::SameRemote(attempt) if is_current(attempt) => self.begin_same(id),
            Message::Asked(attempt, asked, address, is_there) if is_last(attempt, asked) => {
                self.asked(id, address, is_there);
            }
            Message::AskAgain(attempt, asked, address, was_there) if is_last(attempt, asked) => {
                self.ask_again(id, address, was_there);
            }
            Message::Disclaim(spi) => self.disclaim(id, spi),
            Message::Learned(..)
            | Message::Learn(_)
            | Message::BeginAgain(_)
            | Message::SameRemote(_)
            | Message::Asked(..)
            | Message::AskAgain(..) => {}
        }
    }

    /// What the worker saw: a peer that it found dead is no peer to IKE either, and the next remote has its turn.
    pub(super) fn seen_with_ike(&mut self, id: TunnelId, seen: &Seen) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        let was_up = ike.phase == Phase::Established;
        let lines = trace::lines(seen, tunnel.config.dpd.as_ref());
        if let Some(lane) = &self.ike {
            let name = &tunnel.config.name;
            lines.into_iter().for_each(|line| lane.trace(name, line));
        }
        let Seen::Down { reason, .. } = seen else {
            return;
        };
        let is_dead = matches!(
            reason,
            DownReason::DpdTimeout | DownReason::KeepaliveUnanswered
        );
        if !was_up || !is_dead && *reason != DownReason::SaExpired {
            return;
        }
        ike.lose();
        self.act_on(id, Act::Dead);
        let again = match is_dead {
            true => Again::NextRemote,
            false => Again::SameRemote(RETRY),
        };
        self.seek_again(id, "peer not responding", again);
    }

    /// Makes new keys for the IKE SA or the child SA.
    pub(super) async fn rekey(&mut self, id: TunnelId, what: What) -> Result<(), String> {
        let act = match what {
            What::Ike => Act::RekeyIke,
            What::Child => Act::RekeyChild,
        };
        self.with_ike(id)?.ask(id, act).await
    }

    /// The lane of a tunnel that has IKE.
    pub(super) fn with_ike(&self, id: TunnelId) -> Result<IkeLane, String> {
        let tunnel = self.tunnels.get(&id);
        let has_ike = tunnel.is_some_and(|tunnel| tunnel.ike.is_some());
        let lane = self.ike.as_ref().filter(|_| has_ike).cloned();
        lane.ok_or_else(|| "the tunnel has no `ike`: it negotiates nothing".to_owned())
    }
}
