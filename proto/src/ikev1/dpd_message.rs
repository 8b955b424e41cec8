//! R-U-THERE and R-U-THERE-ACK, the two notifications of dead peer detection (RFC 3706 section 5.2).

use std::error::Error;
use std::fmt;

use crate::wire::isakmp::notify::{R_U_THERE, R_U_THERE_ACK};
use crate::wire::isakmp::{DOI_IPSEC, Notify, Protocol, Writer};

/// A question whether the peer lives, or the answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpdMessage {
    /// Whether it answers: R-U-THERE-ACK.
    pub is_ack: bool,
    /// The number of the question, which the answer repeats.
    pub sequence: u32,
}

/// Why a notification of one of the two types is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpdRefused {
    /// It is of that protocol, not of ISAKMP.
    Protocol(Protocol),
    /// Its SPI is not the cookies of the ISAKMP SA that it came in.
    Cookies,
    /// Its data are of that many octets: four are the sequence number.
    Octets(usize),
}

impl fmt::Display for DpdRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(protocol) => write!(f, "notification of {protocol}, not of ISAKMP"),
            Self::Cookies => f.write_str("cookies of another ISAKMP SA"),
            Self::Octets(octets) => write!(f, "sequence number of {octets} octets, not of 4"),
        }
    }
}

impl Error for DpdRefused {}

impl DpdMessage {
    /// Appends its payload; `cookies` are CKY-I | CKY-R of the ISAKMP SA.
    pub fn write(&self, cookies: &[u8; 16], writer: &mut Writer) {
        let kind = if self.is_ack {
            R_U_THERE_ACK
        } else {
            R_U_THERE
        };
        writer.notify(&Notify {
            doi: DOI_IPSEC,
            protocol: Protocol::Isakmp,
            spi: cookies,
            kind,
            data: &self.sequence.to_be_bytes(),
        });
    }

    /// Reads a notification of a message whose HASH has been verified; none if it is of another type.
    ///
    /// # Errors
    /// [`DpdRefused`]: to be dropped and counted.
    pub fn read(notify: &Notify<'_>, cookies: &[u8; 16]) -> Option<Result<Self, DpdRefused>> {
        let is_ack = match notify.kind {
            R_U_THERE => false,
            R_U_THERE_ACK => true,
            _ => return None,
        };
        Some(Self::of_kind(is_ack, notify, cookies))
    }

    fn of_kind(is_ack: bool, notify: &Notify<'_>, cookies: &[u8; 16]) -> Result<Self, DpdRefused> {
        if notify.protocol != Protocol::Isakmp {
            return Err(DpdRefused::Protocol(notify.protocol));
        }
        if notify.spi != cookies {
            return Err(DpdRefused::Cookies);
        }
        let sequence = notify.data.try_into().map(u32::from_be_bytes);
        let sequence = sequence.map_err(|_| DpdRefused::Octets(notify.data.len()))?;
        Ok(Self { is_ack, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::isakmp::{Payload, payloads};

    const COOKIES: [u8; 16] = *b"initiatorrespond";

    fn notify<'a>(kind: u16, spi: &'a [u8], data: &'a [u8]) -> Notify<'a> {
        Notify {
            doi: 1,
            protocol: Protocol::Isakmp,
            spi,
            kind,
            data,
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for is_ack in [false, true] {
            let message = DpdMessage {
                is_ack,
                sequence: 0xdead_beef,
            };
            let mut writer = Writer::new();
            message.write(&COOKIES, &mut writer);
            let (first, chain) = writer.finish();
            let read = payloads(first, &chain).unwrap();
            let [Payload::Notify(notify)] = read[..] else {
                panic!("{read:?}");
            };
            assert_eq!(DpdMessage::read(&notify, &COOKIES), Some(Ok(message)));
        }
    }

    #[test]
    fn another_type_is_none() {
        for kind in [0, 36135, 36138, 24578, u16::MAX] {
            assert_eq!(
                DpdMessage::read(&notify(kind, &COOKIES, &[0; 4]), &COOKIES),
                None
            );
        }
    }

    #[test]
    fn cookies_of_another_sa_and_numbers_of_other_lengths_are_refused() {
        let read = |notify: &Notify<'_>| DpdMessage::read(notify, &COOKIES).unwrap();
        let swapped = *b"respondinitiator";
        for spi in [&swapped[..], &COOKIES[..15], &[]] {
            assert_eq!(
                read(&notify(R_U_THERE, spi, &[0; 4])),
                Err(DpdRefused::Cookies)
            );
        }
        for octets in [0, 3, 5, 8] {
            let data = vec![0; octets];
            let refused = read(&notify(R_U_THERE_ACK, &COOKIES, &data));
            assert_eq!(refused, Err(DpdRefused::Octets(octets)));
        }
        let esp = Notify {
            protocol: Protocol::Esp,
            ..notify(R_U_THERE, &COOKIES, &[0; 4])
        };
        assert_eq!(read(&esp), Err(DpdRefused::Protocol(Protocol::Esp)));
    }
}
