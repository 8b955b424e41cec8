//! What packets are sealed with and peers prove themselves with: keys of static security associations and the sequence numbers that were
//! used under them (RFC 4303 sections 2.2 and 3.3.3), and the credentials of IKE.
//!
//! A key file is text: `SUITE 0xHEX`, the keying material being key and salt as `ip xfrm state … aead` takes it. What was used under
//! a key is kept beside its file, apart for each direction, so that both ends of a test may use the same files on one host:
//!
//! | file | what |
//! |---|---|
//! | `FILE.out.state` | for each key: the first sequence number that was never reserved |
//! | `FILE.in.state` | for each key: the saved edge of the receive window |
//! | `FILE.out.lock`, `FILE.in.lock` | held by the process that uses the state; never deleted; not empty once there is a state |
//!
//! The counter is the nonce of the suites, so a number is used only after the state that rules out its second use is on the disk. Entries
//! of former keys stay, because a key that comes back must go on where it stopped. What cannot be seen from here: a key that was copied to
//! another file or host, and a state that was restored from a backup.

mod file;
mod ike;
mod private;
mod psk;
mod state;
mod store;
mod table;
mod text;

pub use file::{KeyFile, KeyFileError};
pub use ike::{CredentialError, read_anchors, read_certificate, read_password, read_psk};
pub use private::{FileError, FileFault};
pub use psk::{PasswordFault, PskFault, create_psk, is_same_psk, is_weak_psk, random_psk};
pub use state::{BLOCK_PACKETS, InboundState, OutboundState};
pub use store::StateError;
pub use table::Corrupt;
pub use text::TextError;
