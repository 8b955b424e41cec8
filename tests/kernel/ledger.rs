//! Packets of a namespace counted, and marked, by rules of nftables: an opinion on headers that is neither adit's nor the guest's.

use serde_json::Value;

use crate::common::Namespace;

/// Counts packets that match expressions, before routing and before they leave.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    namespace: &'a Namespace,
}

impl<'a> Ledger<'a> {
    /// Opens one in a namespace, in place of the one that was there.
    pub(crate) fn open(namespace: &'a Namespace) -> Self {
        namespace.output("nft", &["delete", "table", "inet", "ledger"]);
        let ledger = Self { namespace };
        ledger.nft("add table inet ledger");
        ledger.nft("add chain inet ledger in { type filter hook prerouting priority 300; }");
        ledger.nft("add chain inet ledger out { type filter hook postrouting priority 300; }");
        // What changes a packet comes before what counts it.
        ledger.nft("add chain inet ledger arriving { type filter hook prerouting priority -300; }");
        ledger.nft("add chain inet ledger leaving { type filter hook postrouting priority -300; }");
        ledger
    }

    /// From here on counts what comes in and matches.
    pub(crate) fn count_in(&self, name: &str, expression: &str) {
        self.rule("in", name, expression);
    }

    /// From here on counts what goes out and matches.
    pub(crate) fn count_out(&self, name: &str, expression: &str) {
        self.rule("out", name, expression);
    }

    /// From here on does something to what comes in (`arriving`) or goes out (`leaving`).
    pub(crate) fn change(&self, chain: &str, statement: &str) {
        self.nft(&format!("add rule inet ledger {chain} {statement}"));
    }

    /// How many packets matched.
    pub(crate) fn packets(&self, name: &str) -> u64 {
        let text = self
            .namespace
            .run("nft", &["-j", "list", "counter", "inet", "ledger", name]);
        let listed: Value = serde_json::from_str(&text).unwrap();
        let entries = listed["nftables"].as_array().unwrap();
        entries
            .iter()
            .find_map(|entry| entry["counter"]["packets"].as_u64())
            .unwrap()
    }

    fn rule(&self, chain: &str, name: &str, expression: &str) {
        self.nft(&format!("add counter inet ledger {name}"));
        self.nft(&format!(
            "add rule inet ledger {chain} {expression} counter name {name}"
        ));
    }

    fn nft(&self, command: &str) {
        self.namespace.run("nft", &[command]);
    }
}
