//! Where the packets of a flood went, as the terms of one sum.

use super::figures::packets;
use crate::bench::model::Accounting;

/// Where packets were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// By the receiver.
    Received,
    /// By adit, which dropped them.
    Adit,
    /// By the kernel before a TUN device.
    Tun,
    /// By the kernel before a socket.
    Socket,
    /// Nowhere.
    Unexplained,
}

/// One term of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term<'a> {
    /// Where these packets were counted.
    pub place: Place,
    /// What happened to them.
    pub name: &'a str,
    /// How many.
    pub packets: u64,
    /// Whether they are subtracted: more was counted than was sent.
    pub is_negative: bool,
}

/// The terms that `sent` is the sum of: `received` first, `unexplained` last, and between them the losses that there were.
#[must_use]
pub fn terms(accounting: &Accounting) -> Vec<Term<'_>> {
    let term = |place, name, packets| Term {
        place,
        name,
        packets,
        is_negative: false,
    };
    let adit = (accounting.drops.iter()).map(|(name, &drops)| term(Place::Adit, name, drops));
    let losses = adit.chain([
        term(Place::Tun, "TUN tx_dropped", accounting.tun_tx_dropped),
        term(Place::Socket, "socket overflow", accounting.socket_overflow),
    ]);
    let mut terms = vec![term(Place::Received, "received", accounting.received)];
    terms.extend(losses.filter(|loss| loss.packets > 0));
    terms.push(Term {
        place: Place::Unexplained,
        name: "unexplained",
        packets: accounting.unexplained.unsigned_abs(),
        is_negative: accounting.unexplained < 0,
    });
    terms
}

/// The sum in one line.
#[must_use]
pub fn line(accounting: &Accounting) -> String {
    let mut line = format!("{} sent", packets(accounting.sent));
    for term in terms(accounting) {
        let number = packets(term.packets);
        line.push_str(&format!(" {} {number} {}", term.sign(), term.name));
    }
    line
}

impl Term<'_> {
    /// What stands before it.
    #[must_use]
    pub fn sign(&self) -> char {
        match (self.place, self.is_negative) {
            (Place::Received, _) => '=',
            (_, true) => '−',
            (_, false) => '+',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    #[test]
    fn the_equation_names_each_loss_that_happened() {
        let mut accounting = sample::full().subjects[0].accounting.clone().unwrap();
        let text = |accounting: &Accounting| line(accounting).replace('\u{202f}', " ");
        assert_eq!(
            text(&accounting),
            "1 000 000 sent = 899 000 received + 1 000 tun_full + 60 000 TUN tx_dropped \
             + 39 990 socket overflow + 10 unexplained"
        );
        accounting.unexplained = -10;
        assert!(text(&accounting).ends_with(" − 10 unexplained"));
    }

    #[test]
    fn the_terms_of_a_balanced_account_sum_up_to_what_was_sent() {
        let accounting = sample::full().subjects[0].accounting.clone().unwrap();
        let sum: u64 = terms(&accounting).iter().map(|term| term.packets).sum();
        assert_eq!(sum, accounting.sent);
    }
}
