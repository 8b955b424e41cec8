//! One packet into the tunnel and out of it again.
