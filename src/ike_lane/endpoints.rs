//! The endpoints of one namespace of sockets: that of IKEv2, and from its first tunnel of version 1 on that of IKEv1.

use std::time::{Instant, SystemTime};

use adit_proto::ike::{
    Command, CommandError, ConnectionId, Endpoint, EndpointConfig, Event, IkeCounters, IkeStatus,
    Path, Transmit,
};
use adit_proto::ikev1;

use super::lane::System;
use super::{Agreement, Version};

/// Of an ISAKMP or IKE header, the octet of the version, whose upper half is the major one (RFC 7296 section 3.1).
const VERSION: usize = 17;

/// See the module.
pub(super) struct Endpoints {
    config: EndpointConfig,
    v1: Option<ikev1::Endpoint>,
    v2: Endpoint,
}

impl Endpoints {
    pub(super) fn new(config: EndpointConfig) -> Self {
        Self {
            config,
            v1: None,
            v2: Endpoint::new(config, Box::new(System)),
        }
    }

    /// Takes over what is agreed upon with a tunnel's peer.
    pub(super) fn add(
        &mut self,
        now: Instant,
        id: ConnectionId,
        agreement: Agreement,
    ) -> Result<(), CommandError> {
        match agreement {
            Agreement::V1(connection) => {
                let config = self.config;
                let new = || ikev1::Endpoint::new(config, Box::new(System));
                self.v1.get_or_insert_with(new).add(now, id, *connection)
            }
            Agreement::V2(connection) => self.v2.handle_command(now, Command::Add(id, connection)),
        }
    }

    /// Does what is asked of a connection of that version.
    pub(super) fn handle_command(
        &mut self,
        now: Instant,
        version: Version,
        command: Command,
    ) -> Result<(), CommandError> {
        match (version, &mut self.v1) {
            (Version::V2, _) => self.v2.handle_command(now, command),
            (Version::V1, Some(v1)) => v1.handle_command(now, command),
            (Version::V1, None) => Err(CommandError::UnknownConnection),
        }
    }

    /// Hands a message to its version's endpoint. Where no tunnel has version 1 that is not spoken to anybody.
    pub(super) fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let is_v1 = datagram.get(VERSION).is_some_and(|octet| octet >> 4 == 1);
        match &mut self.v1 {
            Some(v1) if is_v1 => v1.handle_datagram(now, path, datagram),
            Some(_) | None => self.v2.handle_datagram(now, path, datagram),
        }
    }

    /// Says what time of day it is: the clock may be set at any time, and certificates are valid by it.
    pub(super) fn tell_time(&mut self) {
        let unix_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = unix_time.unwrap_or_default().as_secs();
        self.v2.set_unix_time(Instant::now(), seconds);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.v2.handle_timeout(now);
        if let Some(v1) = &mut self.v1 {
            v1.handle_timeout(now);
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let v1 = self.v1.as_ref().and_then(ikev1::Endpoint::poll_timeout);
        let v2 = self.v2.poll_timeout().map(|(at, _)| at);
        v1.map(|(at, _)| at).into_iter().chain(v2).min()
    }

    /// The next thing that happened. Those of one connection come in their order.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        let v1 = self.v1.as_mut().and_then(ikev1::Endpoint::poll_event);
        v1.or_else(|| self.v2.poll_event())
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        let v1 = self.v1.as_mut().and_then(ikev1::Endpoint::poll_transmit);
        v1.or_else(|| self.v2.poll_transmit())
    }

    /// What both versions counted.
    pub(super) fn counters(&self) -> IkeCounters {
        let mut counters = self.v2.counters();
        if let Some(v1) = &self.v1 {
            counters.add(v1.counters());
        }
        counters
    }

    /// How a connection stands; none for one that is not known.
    pub(super) fn status(&self, id: ConnectionId, now: Instant) -> Option<IkeStatus> {
        let v1 = self.v1.as_ref().and_then(|v1| v1.status(id, now));
        v1.or_else(|| self.v2.status(id, now))
    }
}
