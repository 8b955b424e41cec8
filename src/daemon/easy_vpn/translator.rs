//! The thread that has nft(8) translate addresses and hands the rest of an assignment to the link lane, one after the other.
//!
//! Each tunnel has a table of IPv4 of its own, named after its interface, which outlives a daemon that is killed: the next one that has
//! an Easy VPN remote there removes it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::{mpsc, oneshot};

use super::Message;
use crate::dataplane::TunnelId;
use crate::io::netlink::Netlink;
use crate::io::netns;
use crate::io::nft::{self, NftError};
use crate::links::{Assignment, LinkCommand, LinkSender};

/// Begins the name of each table; an interface's name of at most 15 octets follows, which is within the 31 of any kernel.
const TABLE: &str = "adit-easy-vpn-";

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// The daemon started, and made these interfaces in that namespace (none: the daemon's own): tables go that nobody has any more.
    Sweep(Option<Arc<OwnedFd>>, Vec<String>),
    /// The tunnel has this interface in that namespace (none: the daemon's own).
    Prepare(TunnelId, Option<Arc<OwnedFd>>, String),
    /// Translates to the assigned address, and then has the link lane do the rest.
    Apply(TunnelId, Box<Assignment>),
    /// Has the link lane look at an assignment again.
    Keep(TunnelId, Box<Assignment>),
    /// Has the link lane leave no more than that, and then translates nothing.
    Withdraw(TunnelId, Box<Assignment>, oneshot::Sender<()>),
}

/// The sending end of the thread. Jobs are few: one for each assignment and for each change of routes.
#[derive(Debug)]
pub(in crate::daemon) struct Translator {
    jobs: Sender<Job>,
}

impl Translator {
    /// Starts the thread, which runs until this goes.
    pub(super) fn start(links: LinkSender, messages: mpsc::Sender<Message>) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let mut work = Work {
            links,
            messages,
            interfaces: BTreeMap::new(),
            translated: BTreeSet::new(),
        };
        std::thread::Builder::new()
            .name("adit-easy-vpn".to_owned())
            .spawn(move || work.run(&queue))?;
        Ok(Self { jobs })
    }

    pub(super) fn post(&self, job: Job) {
        // The thread ends with this sender and not before.
        let _ = self.jobs.send(job);
    }
}

#[derive(Debug)]
struct Interface {
    netns: Option<Arc<OwnedFd>>,
    name: String,
}

impl Interface {
    fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.netns.as_ref().map(AsFd::as_fd)
    }
}

struct Work {
    links: LinkSender,
    messages: mpsc::Sender<Message>,
    interfaces: BTreeMap<TunnelId, Interface>,
    /// Tunnels that have a table.
    translated: BTreeSet<TunnelId>,
}

impl Work {
    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Sweep(netns, names) => match sweep(netns.as_ref(), &names) {
                    // Who has nft no more has nothing to remove either, or says so when he translates.
                    Ok(()) | Err(NftError::Missing) => {}
                    Err(error) => {
                        tracing::warn!(%error, "tables of an adit that is gone may be left");
                    }
                },
                Job::Prepare(id, netns, name) => {
                    self.interfaces.insert(id, Interface { netns, name });
                }
                Job::Apply(id, assignment) => {
                    if let Some(IpAddr::V4(address)) = assignment.address {
                        let done = self.translate(id, address);
                        self.report(id, done);
                    }
                    self.assign(id, assignment);
                    let _ = self.links.send(LinkCommand::InPlace(id));
                }
                Job::Keep(id, assignment) => self.assign(id, assignment),
                Job::Withdraw(id, left, done) => {
                    self.assign(id, left);
                    let removed = self.remove(id);
                    self.report(id, removed);
                    // Nobody waits any more when the daemon is stopping.
                    let _ = done.send(());
                }
            }
        }
    }

    fn translate(&mut self, id: TunnelId, address: Ipv4Addr) -> Result<(), NftError> {
        let Some(interface) = self.interfaces.get(&id) else {
            return Ok(());
        };
        let rules = rules(&interface.name, address);
        nft::load(interface.namespace(), &rules)?;
        self.translated.insert(id);
        Ok(())
    }

    fn remove(&mut self, id: TunnelId) -> Result<(), NftError> {
        match self.interfaces.get(&id) {
            Some(interface) if self.translated.remove(&id) => {
                nft::load(interface.namespace(), &removal(&table(&interface.name)))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn assign(&self, id: TunnelId, assignment: Box<Assignment>) {
        // A lane that is gone took its interfaces with it.
        let _ = self.links.send(LinkCommand::Assign(id, assignment));
    }

    fn report(&self, id: TunnelId, done: Result<(), NftError>) {
        if let Err(error) = done {
            let why = format!("nothing is translated to the assigned address: {error}");
            // The loop may wait for this thread, so that this one never waits for the loop.
            if let Err(error) = self.messages.try_send(Message::EasyVpn(id, why)) {
                tracing::warn!(%error, "a message about an Easy VPN was lost");
            }
        }
    }
}

/// Removes the tables in a namespace that a daemon left which is no more: of interfaces that are ours now, and of those that are gone.
fn sweep(netns: Option<&Arc<OwnedFd>>, ours: &[String]) -> Result<(), NftError> {
    let namespace = netns.map(AsFd::as_fd);
    let mut netlink = netns::within(namespace, Netlink::open)?.map_err(io::Error::other)?;
    for left in nft::tables(namespace)? {
        let Some(of) = left.strip_prefix(TABLE) else {
            continue;
        };
        let there = netlink.find_link(of).map_err(io::Error::other)?;
        if there.is_none() || ours.iter().any(|name| name == of) {
            nft::load(namespace, &removal(&left))?;
            tracing::info!(table = left, "removed a table of an adit that is gone");
        }
    }
    Ok(())
}

fn table(interface: &str) -> String {
    format!("{TABLE}{interface}")
}

/// Removes a table, also where there is none.
fn removal(table: &str) -> String {
    format!("table ip {table}\ndelete table ip {table}\n")
}

/// The table of an interface, in place of the one it had. What leaves with another source address gets the assigned one, which is the
/// interface's only one; of what was translated to an address the kernel forgets all when the address goes, as it does for `masquerade`
/// alone. Before the operator's own rules: the first that translates has it.
fn rules(interface: &str, address: Ipv4Addr) -> String {
    let table = table(interface);
    format!(
        "{}table ip {table} {{
  chain translate {{
    type nat hook postrouting priority 99; policy accept;
    oifname \"{interface}\" ip saddr != {address} masquerade
  }}
}}
",
        removal(&table)
    )
}
