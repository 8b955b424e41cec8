//! One end, and what its data path would hold.

use std::collections::BTreeMap;

use crate::ike::{ChildSa, DownWhy, Event, Outbound};
use crate::wire::esp::Spi;

/// A child SA as the data path holds it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) sa: ChildSa,
    /// Packets leave through it.
    pub(crate) sends: bool,
}

pub(crate) struct Side<E> {
    pub(crate) endpoint: E,
    /// Inbound SAs, by SPI.
    pub(crate) held: BTreeMap<Spi, Held>,
    pub(crate) events: Vec<Event>,
    pub(crate) up: bool,
}

impl<E> Side<E> {
    pub(super) fn of(endpoint: E) -> Self {
        Self {
            endpoint,
            held: BTreeMap::new(),
            events: Vec::new(),
            up: false,
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        if let Event::ChildInstalled(_, sa) = event {
            let (spi, now) = (sa.spi_in, sa.outbound == Outbound::Now);
            let sends = self.held.values().all(|held| !held.sends);
            self.held.insert(spi, Held { sa: *sa, sends });
            if now {
                self.switch(spi);
            }
            return;
        }
        match &event {
            Event::SwitchOutbound(_, spi) => self.switch(*spi),
            Event::ChildRetired(_, spi, _) => {
                let gone = self.held.remove(spi).expect("a pair that was installed");
                if gone.sends
                    && let Some(other) = self.held.values_mut().last()
                {
                    other.sends = true;
                }
            }
            Event::Established(..) => self.up = true,
            Event::Down(..) => self.up = false,
            Event::ChildInstalled(..)
            | Event::Alive(_)
            | Event::Failed(..)
            | Event::Refused(..)
            | Event::PeerMoved(..)
            | Event::Configured(..)
            | Event::Trace(..) => {}
        }
        self.events.push(event);
    }

    /// Packets leave through that pair from here on.
    pub(crate) fn switch(&mut self, spi_in: Spi) {
        assert!(self.held.contains_key(&spi_in), "a pair that is held");
        for (spi, held) in &mut self.held {
            held.sends = *spi == spi_in;
        }
    }

    pub(crate) fn sending(&self) -> Option<&Held> {
        self.held.values().find(|held| held.sends)
    }

    pub(crate) fn only(&self) -> &ChildSa {
        assert_eq!(self.held.len(), 1);
        &self.held.values().next().unwrap().sa
    }

    pub(crate) fn count(&self, is_meant: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is_meant(event)).count()
    }

    /// The traces that hold these words.
    pub(crate) fn traced(&self, words: &str) -> usize {
        self.count(|event| matches!(event, Event::Trace(_, line) if line.contains(words)))
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        let words = |event: &Event| {
            if let Event::Failed(_, why) | Event::Refused(_, why) = event {
                return Some(why.to_string());
            }
            None
        };
        self.events.iter().filter_map(words).collect()
    }

    pub(crate) fn downs(&self) -> Vec<DownWhy> {
        let why = |event: &Event| {
            if let Event::Down(_, why) = event {
                return Some(*why);
            }
            None
        };
        self.events.iter().filter_map(why).collect()
    }
}
