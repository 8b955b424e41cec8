//! A GRE header that reads writes back to its octets, but for the checksum and the bits that are to be ignored.

use adit_proto::wire::gre;

/// Replays one input.
pub fn run(octets: &[u8]) {
    let Ok(header) = gre::parse(octets) else {
        return;
    };
    assert!(header.octets <= octets.len());
    let mut written = [0; gre::MAX_OCTETS];
    assert_eq!(header.write(&mut written), header.octets);
    assert_eq!(gre::parse(&written), Ok(header));
    assert_eq!(
        (octets[0] & 0xb0, &octets[2..4]),
        (written[0], &written[2..4])
    );
    let options = if header.checksum { 8 } else { 4 };
    assert_eq!(
        octets[options..header.octets],
        written[options..header.octets]
    );
}
