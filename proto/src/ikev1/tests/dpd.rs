//! Dead peer detection between two endpoints (RFC 3706).

use std::time::Duration;

use super::net::*;
use crate::ike::{Command, CommandError, Event};
use crate::wire::isakmp::ExchangeType;

const SECOND: Duration = Duration::from_secs(1);

fn alive(net: &Net, side: usize) -> usize {
    net.sides[side].count(|event| matches!(event, Event::Alive(_)))
}

#[test]
fn a_question_is_answered_with_its_number_and_proves_both_ends_alive() {
    let mut net = Net::established();
    let before = [alive(&net, A), alive(&net, B)];
    net.command(A, Command::Probe(TUNNEL));
    net.run(SECOND);
    assert_eq!(alive(&net, A), before[0] + 1);
    assert_eq!(alive(&net, B), before[1] + 1);
    assert_eq!(net.sides[A].traced("sending R-U-THERE 0x"), 1);
    assert_eq!(net.sides[B].traced("sending R-U-THERE-ACK 0x"), 1);
}

#[test]
fn without_an_answer_the_same_number_is_asked_again_and_nothing_else_happens() {
    let mut net = Net::established();
    net.weather = Box::new(|_, _| Vec::new());
    net.messages(A, ExchangeType::Informational);
    for _ in 0..5 {
        net.command(A, Command::Probe(TUNNEL));
        net.run(SECOND * 2);
    }
    assert_eq!(net.messages(A, ExchangeType::Informational), 5);
    let numbers: std::collections::BTreeSet<_> = net.sides[A]
        .events
        .iter()
        .filter_map(|event| {
            let Event::Trace(_, line) = event else {
                return None;
            };
            line.contains("sending R-U-THERE ").then_some(line)
        })
        .collect();
    assert_eq!(numbers.len(), 1);
    assert!(net.sides[A].up);
}

#[test]
fn a_dead_peer_is_told_once_and_nothing_is_waited_for() {
    let mut net = Net::established();
    net.weather = Box::new(|_, _| Vec::new());
    net.messages(A, ExchangeType::Informational);
    net.command(A, Command::Dead(TUNNEL));
    assert_eq!(net.messages(A, ExchangeType::Informational), 2);
    assert!(!net.sides[A].up && net.sides[A].held.is_empty());
    assert_eq!(net.sides[A].endpoint.sas(), 0);
    assert!(net.sides[A].endpoint.poll_timeout().is_none());
}

#[test]
fn without_an_sa_there_is_nobody_to_ask() {
    let mut net = Net::new();
    let now = net.now;
    let refused = net.sides[A]
        .endpoint
        .handle_command(now, Command::Probe(TUNNEL));
    assert_eq!(refused, Err(CommandError::NotEstablished));
}
