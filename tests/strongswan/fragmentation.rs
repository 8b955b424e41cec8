//! IKE messages in fragments (RFC 7383), those of either end.

use crate::common::impair;
use crate::link::{Auth, Link};
use crate::pair::{Initiator, Pair};
use crate::pki::{P256, P384, Pki};

#[test]
fn messages_with_certificates_pass_in_fragments_of_either_end() {
    let pki = Pki::new(P384, P256);
    let link = Link {
        auth: Auth::Certificates(pki.path()),
        ..Link::new().adit("", "fragment-octets = 576").charon(
            "fragment_size = 400",
            "fragmentation = force",
            "",
        )
    };
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&link, initiator);
        pair.assert_carries();
        let log = pair.charon.log();
        for sign in [
            "splitting IKE message",
            "received fragment #1 of",
            "reassembled fragmented IKE message",
        ] {
            assert!(log.contains(sign), "{initiator:?}: {sign}\n{log}");
        }
        // What comes later is short and goes whole.
        pair.adit.succeeds(&["rekey", "t", "ike"]);
        pair.charon.wait_logged("rekeyed between", crate::PATIENCE);
        pair.assert_carries();
    }
}

#[test]
fn lost_fragments_are_sent_again_until_the_message_is_whole() {
    let pki = Pki::new(P384, P256);
    let link = Link {
        auth: Auth::Certificates(pki.path()),
        ..Link::new()
            .adit(
                "",
                "fragment-octets = 576\nretransmit = { first = \"200ms\", tries = 20, base = 100 }",
            )
            .charon(
                "fragment_size = 256\n  retransmit_timeout = 0.2\n  retransmit_base = 1\n  retransmit_tries = 50",
                "fragmentation = force",
                "",
            )
    };
    for initiator in Initiator::BOTH {
        let pair = Pair::of(&link, &link, initiator);
        for site in [&pair.sites.a, &pair.sites.b] {
            impair(
                site,
                "udp dport { 500, 4500 } numgen random mod 100 < 20 drop",
            );
        }
        pair.begin(initiator);
        pair.wait_up();
        pair.sites.mend();
        pair.assert_carries();
    }
}
