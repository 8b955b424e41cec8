//! Headers as they stand on the wire.
