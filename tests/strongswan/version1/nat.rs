//! A NAT on the way (RFC 3947): either end behind it, and both phases renewed through it.

use crate::PATIENCE;
use crate::common::wait_for;
use crate::link::Link;
use crate::nat::{Translated, outside_reaches_inside};
use crate::pair::Initiator;
use crate::version1::rekey::renews_phase_1;

#[test]
fn either_end_works_from_behind_a_nat_and_renews_both_phases_through_it() {
    for inner in Initiator::BOTH {
        let translated = Translated::start(&Link::version_1(), inner);
        assert!(translated.carries(), "{inner:?}");
        let is_translated = || (20000..20100).contains(&translated.port_seen());
        assert!(is_translated(), "{inner:?}");
        assert!(outside_reaches_inside(&translated.routed.b), "{inner:?}");
        let (adit, charon) = (&translated.adit, &translated.charon);
        for what in ["child", "ike"] {
            adit.succeeds(&["rekey", "t", what]);
            wait_for("its rekey is done", PATIENCE, || {
                translated.carries().then_some(())
            });
        }
        charon.swanctl_succeeds(&["--rekey", "--child", "net"]);
        assert!(translated.carries(), "{inner:?}");
        renews_phase_1(charon, adit);
        assert!(translated.carries(), "{inner:?}");
        assert_eq!(charon.children().len(), 1, "{inner:?}");
        assert!(is_translated(), "{inner:?}");
        assert_eq!(adit.tunnel("t")["deaths"], 0, "{inner:?}");
    }
}
