//! Decapsulation: what came after the outer IP header, or out of ESP, becomes the inner packet, in place (RFC 2784, 2890, 2983, 4301, 6040).
//!
//! Itinerary: checksum → sequence number → protocol type → inner version and lengths, octets beyond them cut → selectors → ECN and DSCP
//! of the outer header → MSS. Keepalives and the key were looked at before.

use core::ops::Range;

use super::ecn::{self, Arrival};
use super::sequence::{Inbound, Verdict};
use super::{DscpIn, MssClamp, Parameters, mss};
use crate::counters::{Counters, DropReason};
use crate::esp::Selectors;
use crate::offload::checksum;
use crate::wire::gre;
use crate::wire::ip::{self, Ip};

/// The inbound half of a tunnel.
#[derive(Clone, Debug)]
pub struct Decap {
    checksum: bool,
    /// Present if the tunnel requires sequence numbers.
    sequence: Option<Inbound>,
    dscp: DscpIn,
    mss_clamp: Option<MssClamp>,
    selectors: Selectors,
}

impl Decap {
    /// A tunnel's inbound half; the first sequence number that comes sets the count.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            checksum: parameters.checksum,
            sequence: parameters.sequence.then(Inbound::default),
            dscp: parameters.dscp_in,
            mss_clamp: parameters.mss_clamp,
            selectors: Selectors::any(),
        }
    }

    /// What the tunnel carries.
    pub fn set_selectors(&mut self, selectors: Selectors) {
        self.selectors = selectors;
    }

    /// What SYNs are lowered to from now on.
    pub fn set_mss_clamp(&mut self, clamp: Option<MssClamp>) {
        self.mss_clamp = clamp;
    }

    /// Lets the next sequence number set the count: another peer counts for itself.
    pub fn forget_sequence(&mut self) {
        self.sequence = self.sequence.map(|_| Inbound::default());
    }

    /// Takes the sequence number of a keepalive, which is not dropped for it: a peer that restarts may send little else, and its
    /// numbers have no gaps only with those of its keepalives. [`Counters::sequence_restarts`] is counted here.
    pub fn observe_sequence(&mut self, header: &gre::Header, counters: &Counters) {
        if let (Some(inbound), Some(seq)) = (&mut self.sequence, header.seq)
            && inbound.observe(seq) == Verdict::Restarted
        {
            counters.sequence_restarts.add(1);
        }
    }

    /// Where in `gre`, a GRE header and its payload, the inner packet lies. `header` is what [`gre::parse`] made of it.
    ///
    /// The inner packet is changed in place: ECN, DSCP, MSS. [`Counters::ecn_unusual`] and [`Counters::sequence_restarts`]
    /// are counted here, the drop is not.
    ///
    /// # Errors
    /// [`DropReason::GreShort`] (less than the header), [`DropReason::GreChecksum`], [`DropReason::GreChecksumMissing`],
    /// [`DropReason::SequenceMissing`], [`DropReason::SequenceOld`], [`DropReason::UnknownProtocol`],
    /// [`DropReason::InnerMalformed`], [`DropReason::Selector`], [`DropReason::EcnUnusable`].
    #[inline]
    pub fn decapsulate(
        &mut self,
        header: &gre::Header,
        gre: &mut [u8],
        outer_tos: u8,
        counters: &Counters,
    ) -> Result<Range<usize>, DropReason> {
        self.verify_checksum(header, gre)?;
        self.check_sequence(header, counters)?;
        let version = match header.protocol {
            gre::PROTOCOL_IPV4 => 4,
            gre::PROTOCOL_IPV6 => 6,
            _ => return Err(DropReason::UnknownProtocol),
        };
        let inner = gre.get_mut(header.octets..).ok_or(DropReason::GreShort)?;
        let octets = self.inner(inner, version, outer_tos, counters)?;
        Ok(header.octets..header.octets + octets)
    }

    /// How many octets of `inner`, the payload of GRE or of ESP in tunnel mode, are the packet of this IP version that begins there;
    /// TFC padding and other octets behind it do not count. The packet is changed in place: ECN, DSCP, MSS.
    ///
    /// # Errors
    /// [`DropReason::InnerMalformed`], [`DropReason::Selector`], [`DropReason::EcnUnusable`].
    #[inline]
    pub fn inner(
        &mut self,
        inner: &mut [u8],
        version: u8,
        outer_tos: u8,
        counters: &Counters,
    ) -> Result<usize, DropReason> {
        let ip = Ip::parse(inner).map_err(|_| DropReason::InnerMalformed)?;
        if ip.version() != version {
            return Err(DropReason::InnerMalformed);
        }
        if !self.selectors.admits_inbound(&ip) {
            return Err(DropReason::Selector);
        }
        let (inner_tos, octets) = (ip.tos(), ip.total_octets());
        let inner = inner.get_mut(..octets).ok_or(DropReason::InnerMalformed)?;
        let tos = self.tos(inner_tos, outer_tos, counters)?;
        if tos != inner_tos {
            ip::set_tos(inner, tos);
        }
        if let Some(clamp) = self.mss_clamp {
            mss::clamp(inner, clamp);
        }
        Ok(octets)
    }

    /// Verifies a checksum that is there, whether or not the tunnel requires one (RFC 2784 section 2.5).
    ///
    /// # Errors
    /// [`DropReason::GreChecksum`] (wrong), [`DropReason::GreChecksumMissing`] (required).
    #[inline]
    pub fn verify_checksum(&self, header: &gre::Header, gre: &[u8]) -> Result<(), DropReason> {
        if header.checksum {
            let right = checksum::fold(checksum::sum(gre, 0)) == u16::MAX;
            return if right {
                Ok(())
            } else {
                Err(DropReason::GreChecksum)
            };
        }
        if self.checksum {
            Err(DropReason::GreChecksumMissing)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn check_sequence(
        &mut self,
        header: &gre::Header,
        counters: &Counters,
    ) -> Result<(), DropReason> {
        let Some(inbound) = &mut self.sequence else {
            return Ok(());
        };
        match inbound.accept(header.seq.ok_or(DropReason::SequenceMissing)?) {
            Verdict::Newer => Ok(()),
            Verdict::Restarted => {
                counters.sequence_restarts.add(1);
                Ok(())
            }
            Verdict::Old => Err(DropReason::SequenceOld),
        }
    }

    /// The TOS that the inner packet leaves with.
    #[inline]
    fn tos(&self, inner: u8, outer: u8, counters: &Counters) -> Result<u8, DropReason> {
        let ecn = match ecn::decapsulate(inner, outer) {
            Arrival::Forward(ecn) => ecn,
            Arrival::Unusual(ecn) => {
                counters.ecn_unusual.add(1);
                ecn
            }
            Arrival::Drop => return Err(DropReason::EcnUnusable),
        };
        let dscp = match self.dscp {
            DscpIn::Keep => inner,
            DscpIn::Copy => outer,
        };
        Ok(dscp & !ecn::MASK | ecn)
    }
}
