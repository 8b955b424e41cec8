//! Cookies (RFC 7296 section 2.6): an end that has a half-open IKE SA asks for one, and gets it.

use crate::PATIENCE;
use crate::common::{Namespace, Sites, wait_for};
use crate::link::Link;
use crate::pair::{Initiator, Pair};

/// From here on no IKE_AUTH reaches a site.
fn block(site: &Namespace) {
    for command in [
        "add table inet filter",
        "add chain inet filter in { type filter hook input priority 0; }",
        "add rule inet filter in udp dport 4500 drop",
    ] {
        site.run("nft", &[command]);
    }
}

fn mend(site: &Namespace) {
    site.run("nft", &["delete", "table", "inet", "filter"]);
}

#[test]
fn adit_returns_the_cookie_that_charon_asks_for() {
    let link = Link::new().charon("cookie_threshold = 1\n  half_open_timeout = 5", "", "");
    let sites = Sites::new();
    block(&sites.b);
    let charon = link.start_charon(&sites.b, 2);
    let adit = link.start_adit(&sites.a, 1, Initiator::Adit.start());
    let pair = Pair {
        adit,
        charon,
        sites,
    };
    wait_for("charon has a half-open IKE SA", PATIENCE, || {
        (pair.charon.logged("generating IKE_SA_INIT response") == 1).then_some(())
    });
    assert_eq!(pair.charon.logged("COOKIE"), 0);
    pair.attempt(Initiator::Adit);
    pair.charon
        .wait_logged("parsed IKE_SA_INIT request 0 [ N(COOKIE)", PATIENCE);
    mend(&pair.sites.b);
    pair.wait_up();
    pair.assert_carries();
}

#[test]
fn adit_asks_charon_for_a_cookie_and_has_no_state_before_it_comes() {
    let link = Link::new().adit_top("ike = { cookie-threshold = 0 }");
    let pair = Pair::idle(&link);
    pair.begin(Initiator::Charon);
    pair.wait_up();
    let log = pair.charon.log();
    for said in [
        "parsed IKE_SA_INIT response 0 [ N(COOKIE) ]",
        "generating IKE_SA_INIT request 0 [ N(COOKIE) SA",
    ] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    pair.assert_carries();
}
