//! Dead peer detection in the lines that `adit debug` and the log show between those of IKE's messages.

use adit_proto::liveness::{DownReason, DpdConfig, Event as Seen, Evidence};

/// What is said when a peer is there that is to be watched, or cannot be.
pub(super) fn watched(dpd: &DpdConfig, answers_probes: bool) -> String {
    if !answers_probes {
        return "DPD: the peer did not say that it answers: it is never asked, and never dead for its silence".to_owned();
    }
    let seconds = |time: std::time::Duration| time.as_secs_f32();
    format!(
        "DPD is enabled: {} after {} s of silence, dead after {} unanswered at {} s",
        dpd.mode.name(),
        seconds(dpd.interval),
        dpd.attempts,
        seconds(dpd.retry),
    )
}

/// What is said of an event; nothing of what does not concern the peer's life.
pub(super) fn lines(seen: &Seen, dpd: Option<&DpdConfig>) -> Vec<String> {
    let mut dead = None;
    if let Seen::Down {
        reason: DownReason::DpdTimeout,
        path: Some(path),
        ..
    } = seen
    {
        dead = Some(format!("peer {} not responding", path.remote));
    }
    dead.into_iter().chain(line(seen, dpd)).collect()
}

fn line(seen: &Seen, dpd: Option<&DpdConfig>) -> Option<String> {
    let of = dpd.map_or_else(String::new, |dpd| format!(" of {}", dpd.attempts));
    Some(match seen {
        Seen::DpdProbe { attempt } => format!("DPD: probe {attempt}{of}"),
        Seen::DpdAnswered => "DPD: answered".to_owned(),
        Seen::DpdMiss { misses } => format!("DPD: no answer to {misses}{of}"),
        Seen::NoData => {
            "no data comes in though the peer answers: the child SA is made anew".to_owned()
        }
        Seen::Suspect { evidence } => format!("suspect{}", silence(*evidence)),
        Seen::Recovered { .. } => "recovered".to_owned(),
        Seen::Up { .. } => "up".to_owned(),
        Seen::Down {
            reason, evidence, ..
        } => format!("down: {}{}", words(*reason), silence(*evidence)),
        Seen::Probing { .. }
        | Seen::Exhausted { .. }
        | Seen::PreferredSteady { .. }
        | Seen::PreferredSilent { .. } => return None,
    })
}

fn words(reason: DownReason) -> &'static str {
    if reason == DownReason::DpdTimeout {
        "peer not responding"
    } else {
        reason.name()
    }
}

fn silence(evidence: Evidence) -> String {
    evidence.since_last_proof.map_or_else(String::new, |since| {
        format!(", {:.3} s after the last sign of life", since.as_secs_f64())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use adit_proto::liveness::State;

    #[test]
    fn a_death_is_told_with_its_reason_and_the_time_of_silence() {
        let down = Seen::Down {
            from: State::Suspect,
            reason: DownReason::DpdTimeout,
            path: None,
            evidence: Evidence {
                since_first_unanswered: None,
                since_last_proof: Some(Duration::from_millis(20_056)),
            },
        };
        let told = line(&down, None).unwrap();
        assert_eq!(
            told,
            "down: peer not responding, 20.056 s after the last sign of life"
        );
    }

    #[test]
    fn a_probe_is_told_with_how_many_there_may_be() {
        let probe = Seen::DpdProbe { attempt: 2 };
        assert_eq!(line(&probe, None).unwrap(), "DPD: probe 2");
    }
}
