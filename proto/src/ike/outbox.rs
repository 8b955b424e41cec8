//! What an endpoint has to give away and waits to be polled.

use std::collections::VecDeque;

use super::connection::ConnectionId;
use super::endpoint::Transmit;
use super::event::Event;

/// Trace lines that wait to be polled; beyond that the oldest are kept.
const TRACES_MAX: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Outbox {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    /// How many of `events` are trace lines.
    traces: usize,
}

impl Outbox {
    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        self.transmits.push_back(transmit);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn trace(&mut self, id: Option<ConnectionId>, line: impl FnOnce() -> String) {
        if self.traces < TRACES_MAX {
            self.traces += 1;
            self.events.push_back(Event::Trace(id, line()));
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if matches!(event, Some(Event::Trace(..))) {
            self.traces = self.traces.saturating_sub(1);
        }
        event
    }
}
