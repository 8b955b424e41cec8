//! How the proposals of a security association payload, and the transforms of a proposal, follow one another (RFC 2408 sections 3.5 and
//! 3.6, RFC 7296 section 3.3): both versions do it alike, and differ in what a transform has inside.
//!
//! Each: `last or more 1 | reserved 1 | length 2 | what is inside`, big-endian.

use super::malformed::{Malformed, Reader, Why};

/// The most proposals in a payload.
pub const PROPOSALS_MAX: usize = 32;
/// The most transforms in a proposal.
pub const TRANSFORMS_MAX: usize = 64;

/// Octets of the shortest proposal or transform.
const OCTETS_MIN: usize = 8;
const LAST: u8 = 0;
const MORE_PROPOSALS: u8 = 2;
const MORE_TRANSFORMS: u8 = 3;

/// Reads proposals up to the one that says that it is the last; `parse` gets what is inside each.
///
/// # Errors
/// Those of `parse`, more than [`PROPOSALS_MAX`], a wrong length or mark, or octets behind the last one.
pub(super) fn read_proposals<'a, P>(
    mut reader: Reader<'a>,
    parse: impl Fn(Reader<'a>) -> Result<P, Malformed>,
) -> Result<Vec<P>, Malformed> {
    let mut proposals = Vec::new();
    let mut more = true;
    while more {
        if proposals.len() == PROPOSALS_MAX {
            return Err(reader.error(Why::TooMany(PROPOSALS_MAX)));
        }
        let (inside, is_more) = substructure(&mut reader, "proposal", MORE_PROPOSALS)?;
        proposals.push(parse(inside)?);
        more = is_more;
    }
    reader.end()?;
    Ok(proposals)
}

/// Reads `count` transforms, of which the last has to say that it is; `parse` gets what is inside each.
///
/// # Errors
/// Those of `parse`, a wrong length or mark, or octets behind the last one.
pub(super) fn read_transforms<'a, T>(
    mut reader: Reader<'a>,
    count: usize,
    parse: impl Fn(Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut transforms = Vec::with_capacity(count);
    for place in 1..=count {
        let at = reader;
        let (inside, more) = substructure(&mut reader, "transform", MORE_TRANSFORMS)?;
        transforms.push(parse(inside)?);
        let (last, most) = (usize::from(more), usize::from(place < count));
        at.bounded("transform is not the last one:", last, most, most)?;
    }
    reader.end()?;
    Ok(transforms)
}

/// Writes at most [`PROPOSALS_MAX`] proposals; `write` gives what is inside each.
pub(super) fn write_proposals<P>(
    proposals: &[P],
    out: &mut Vec<u8>,
    write: impl Fn(&P, &mut Vec<u8>),
) {
    write_all(
        proposals.iter().take(PROPOSALS_MAX),
        MORE_PROPOSALS,
        out,
        write,
    );
}

/// Writes at most [`TRANSFORMS_MAX`] transforms; `write` gives what is inside each.
pub(super) fn write_transforms<T>(
    transforms: &[T],
    out: &mut Vec<u8>,
    write: impl Fn(&T, &mut Vec<u8>),
) {
    write_all(
        transforms.iter().take(TRANSFORMS_MAX),
        MORE_TRANSFORMS,
        out,
        write,
    );
}

/// What is inside the next one, and whether another one follows.
fn substructure<'a>(
    reader: &mut Reader<'a>,
    place: &'static str,
    more: u8,
) -> Result<(Reader<'a>, bool), Malformed> {
    let mut within = reader.peek(place);
    let at_more = within;
    let [is_more, _reserved] = within.array()?;
    let at_length = within;
    let length = usize::from(within.u16()?);
    at_length.bounded("length", length, OCTETS_MIN, reader.left())?;
    if is_more != LAST && is_more != more {
        let [value, more] = [is_more, more].map(usize::from);
        at_more.bounded("last substructure", value, more, more)?;
    }
    let mut all = reader.sub(place, length)?;
    all.take(4)?;
    Ok((all, is_more == more))
}

fn write_all<'a, S: 'a>(
    all: impl Iterator<Item = &'a S>,
    more: u8,
    out: &mut Vec<u8>,
    write: impl Fn(&S, &mut Vec<u8>),
) {
    let mut all = all.peekable();
    while let Some(one) = all.next() {
        let mut inside = Vec::new();
        write(one, &mut inside);
        let length = u16::try_from(inside.len() + 4).unwrap_or(u16::MAX);
        out.extend([if all.peek().is_some() { more } else { LAST }, 0]);
        out.extend(length.to_be_bytes());
        out.append(&mut inside);
    }
}
