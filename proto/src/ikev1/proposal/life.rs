//! How long an SA is to be used, as its ends tell each other (RFC 2407 section 4.5, RFC 2409 appendix A).

use std::time::Duration;

use crate::wire::isakmp::attribute::{self, phase_1, phase_2};
use crate::wire::isakmp::{Attribute, Value};

/// A peer's life shorter than this is taken as this, so that nobody has us make keys all the time.
const SECONDS_MIN: u32 = 10;

const SECONDS: u16 = 1;
const KILOBYTES: u16 = 2;

/// How long an SA is to be used; a duration of zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Seconds from when it was made.
    pub seconds: Option<u32>,
    /// Kilobytes that it carries.
    pub kilobytes: Option<u32>,
}

/// The types by which a phase tells a life type and its duration.
#[derive(Clone, Copy)]
pub(super) struct Types {
    pub(super) kind: u16,
    pub(super) duration: u16,
}

pub(super) const PHASE_1: Types = Types {
    kind: phase_1::LIFE_TYPE,
    duration: phase_1::LIFE_DURATION,
};
pub(super) const PHASE_2: Types = Types {
    kind: phase_2::LIFE_TYPE,
    duration: phase_2::LIFE_DURATION,
};

impl Life {
    /// What a RESPONDER-LIFETIME notification of an IPsec SA tells (RFC 2407 section 4.6.3.1).
    #[must_use]
    pub fn of_notification(attributes: &[Attribute<'_>]) -> Self {
        Self::read(PHASE_2, attributes)
    }

    /// The same of an ISAKMP SA, of which some tell with the types of phase 1 and some with those of phase 2.
    pub(in crate::ikev1) fn of_isakmp_notification(attributes: &[Attribute<'_>]) -> Self {
        match Self::read(PHASE_1, attributes) {
            life if life == Self::default() => Self::read(PHASE_2, attributes),
            life => life,
        }
    }

    /// What both allow.
    pub(in crate::ikev1) fn least(self, other: Self) -> Self {
        let least = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
        Self {
            seconds: least(self.seconds, other.seconds),
            kilobytes: least(self.kilobytes, other.kilobytes),
        }
    }

    /// The seconds, as far as they are not too few.
    pub(in crate::ikev1) fn duration(&self) -> Option<Duration> {
        let seconds = self.seconds?.max(SECONDS_MIN);
        Some(Duration::from_secs(seconds.into()))
    }

    /// Octets that the kilobytes are, of 1024 each.
    pub(in crate::ikev1) fn octets(&self) -> Option<u64> {
        Some(u64::from(self.kilobytes?) * 1024)
    }

    /// The data of a RESPONDER-LIFETIME notification of an IPsec SA.
    pub(in crate::ikev1) fn notification(&self) -> Vec<u8> {
        attribute::body(&self.attributes(PHASE_2, &self.room()))
    }

    /// The durations among `attributes`, each of the type that stands before it.
    pub(super) fn read(types: Types, attributes: &[Attribute<'_>]) -> Self {
        let mut life = Self::default();
        let mut of = None;
        for attribute in attributes {
            let number = attribute.value.number();
            if attribute.kind == types.kind {
                of = number;
            } else if attribute.kind == types.duration {
                let duration = number.filter(|number| *number > 0);
                // What no field of ours can hold is as good as the longest one.
                let duration = duration.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
                match of.take().and_then(|of| u16::try_from(of).ok()) {
                    Some(SECONDS) => life.seconds = duration,
                    Some(KILOBYTES) => life.kilobytes = duration,
                    _ => {}
                }
            }
        }
        life
    }

    /// Its attributes; `room` holds the durations that need more than two octets.
    pub(super) fn attributes<'a>(&self, types: Types, room: &'a Room) -> Vec<Attribute<'a>> {
        let durations = [
            (SECONDS, self.seconds, &room.seconds),
            (KILOBYTES, self.kilobytes, &room.kilobytes),
        ];
        let mut attributes = Vec::new();
        for (of, duration, octets) in durations {
            let Some(duration) = duration else {
                continue;
            };
            attributes.push(Attribute::short(types.kind, of));
            let value = u16::try_from(duration).map_or(Value::Long(octets), Value::Short);
            attributes.push(Attribute {
                kind: types.duration,
                value,
            });
        }
        attributes
    }

    pub(super) fn room(&self) -> Room {
        Room {
            seconds: self.seconds.unwrap_or_default().to_be_bytes(),
            kilobytes: self.kilobytes.unwrap_or_default().to_be_bytes(),
        }
    }
}

/// Durations in octets.
pub(super) struct Room {
    seconds: [u8; 4],
    kilobytes: [u8; 4],
}
