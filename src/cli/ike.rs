//! What `adit status` says of a tunnel's IKE, and `adit clear`, `rekey` and `debug`.

use std::io::{self, Write};

use super::show::{ShowError, command};
use super::table::Table;
use super::units;
use crate::control::ike::{ChildStatus, DpdStatus, EasyVpnStatus, IkeStatus};
use crate::control::{Client, ClientError, Request, Response, What};

/// Deletes a tunnel's SAs, which are then made anew as its `start` says.
///
/// # Errors
/// Each [`ShowError`].
pub(super) fn clear(
    client: &mut Client,
    tunnel: &str,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let request = Request::Clear {
        tunnel: tunnel.to_owned(),
    };
    command(client, &request)?;
    writeln!(out, "{tunnel}: its security associations are deleted")?;
    Ok(())
}

/// Has a tunnel's IKE SA or child SAs replaced; it does not wait until they are.
///
/// # Errors
/// Each [`ShowError`].
pub(super) fn rekey(
    client: &mut Client,
    tunnel: &str,
    what: What,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let request = Request::Rekey {
        tunnel: tunnel.to_owned(),
        what,
    };
    command(client, &request)?;
    let replaced = match what {
        What::Ike => "IKE SA",
        What::Child => "child SA",
    };
    writeln!(
        out,
        "{tunnel}: the {replaced} is being replaced; `adit debug {tunnel}` shows the exchange"
    )?;
    Ok(())
}

/// Prints what IKE and dead peer detection do for a tunnel, a line each, until the daemon ends or nobody reads any more.
///
/// # Errors
/// [`ShowError::Client`] when there is no daemon or it says no; a daemon that ends is no error.
pub(super) fn debug(
    client: &mut Client,
    tunnel: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let request = Request::Debug {
        tunnel: tunnel.to_owned(),
    };
    command(client, &request)?;
    loop {
        match client.receive() {
            Ok(Response::Trace(trace)) => {
                if json {
                    serde_json::to_writer(&mut *out, &trace).map_err(io::Error::from)?;
                    writeln!(out)?;
                } else {
                    writeln!(out, "{} {}", trace.time, trace.line)?;
                }
                out.flush()?;
            }
            Ok(
                other @ (Response::Done
                | Response::Status(_)
                | Response::Event(_)
                | Response::Refused(_)),
            ) => return Err(ShowError::Answer(Box::new(other))),
            Err(ClientError::Broken(_, error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Adds the rows about IKE to a tunnel's block.
pub(super) fn rows(ike: &IkeStatus, table: &mut Table) {
    let name = if ike.version == 1 { "IKEv1" } else { "IKE" };
    table.row([name, &state(ike)]);
    table.row(["identities", &identities(ike)]);
    if let (Some(local), Some(remote)) = (ike.local, ike.remote) {
        let nat = match ike.nat.as_deref() {
            None => "",
            Some("local") => ", a NAT in front of us",
            Some("peer") => ", a NAT in front of the peer",
            Some(_) => ", a NAT in front of either",
        };
        table.row(["IKE path", &format!("{local} to {remote}{nat}")]);
    }
    if let Some(proposal) = &ike.proposal {
        table.row(["IKE SA", &format!("{proposal}{}", spis(ike))]);
    }
    for child in &ike.children {
        table.row(["child SA", &self::child(child)]);
        let (local, remote) = (child.local_ts.join(" "), child.remote_ts.join(" "));
        table.row(["selectors", &format!("{local} to {remote}")]);
    }
    if let Some(easy_vpn) = &ike.easy_vpn {
        self::easy_vpn(easy_vpn, table);
    }
    match &ike.dpd {
        Some(dpd) if !dpd.peer_answers => table.row([
            "DPD",
            "the peer did not say that it answers: it is never asked, and never dead for its silence",
        ]),
        Some(dpd) => table.row(["DPD", &self::dpd(dpd)]),
        None => table.row(["DPD", "off"]),
    }
    if let Some(proof) = &ike.proof {
        let words = match proof.as_str() {
            "data" => "data passed",
            "none" => "none: it is up because IKE is, and no data has come",
            other => other,
        };
        table.row(["proof", words]);
    }
    if ike.rekey_lost_packets > 0 {
        let lost = units::count(ike.rekey_lost_packets, "packet");
        table.row(["rekeys", &format!("lost {lost}")]);
    }
    if let Some(error) = &ike.last_error {
        table.row(["IKE error", error]);
    }
}

/// What an Easy VPN server assigned, as far as it did.
fn easy_vpn(easy_vpn: &EasyVpnStatus, table: &mut Table) {
    fn joined<T: ToString>(all: &[T]) -> Option<String> {
        let words: Vec<_> = all.iter().map(ToString::to_string).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
    let addresses = joined(&easy_vpn.addresses);
    let assigned = addresses.map_or_else(String::new, |words| format!(", we are {words}"));
    table.row([
        "Easy VPN",
        &format!("{} mode{assigned}", easy_vpn.client_mode),
    ]);
    let rows = [
        ("name servers", joined(&easy_vpn.dns)),
        ("domain", easy_vpn.default_domain.clone()),
        ("split DNS", joined(&easy_vpn.split_dns)),
        ("through it", easy_vpn.routing.clone()),
        ("more servers", joined(&easy_vpn.backup_servers)),
        (
            "banner",
            easy_vpn.banner.as_ref().map(|text| one_line(text)),
        ),
    ];
    for (name, words) in rows {
        words.iter().for_each(|words| table.row([name, words]));
    }
    match easy_vpn.save_password {
        Some(true) => table.row(["password", "the server lets it be kept"]),
        Some(false) => table.row(["password", "the server does not let it be kept"]),
        None => {}
    }
}

/// A text of several lines in one.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" / ")
}

fn state(ike: &IkeStatus) -> String {
    let mut text = ike.state.clone();
    if let Some(age) = ike.age_ms {
        text.push_str(&format!(" for {}", units::millis(age)));
    }
    match ike.initiator {
        Some(true) => text.push_str(", initiated by us"),
        Some(false) => text.push_str(", initiated by the peer"),
        None => {}
    }
    text + &rekey_in(ike.rekey_in_ms)
}

fn identities(ike: &IkeStatus) -> String {
    let peer = ike.remote_id.as_deref().unwrap_or("anybody who proves it");
    format!("we are {}, the peer is {peer}", ike.local_id)
}

fn spis(ike: &IkeStatus) -> String {
    match (&ike.spi_i, &ike.spi_r) {
        (Some(i), Some(r)) => format!(", SPIs {i} (initiator) {r} (responder)"),
        _ => String::new(),
    }
}

fn child(child: &ChildStatus) -> String {
    let esn = if child.esn { "" } else { " without ESN" };
    let udp = if child.udp { " in UDP" } else { "" };
    format!(
        "{}{esn}, {} mode{udp}, SPI out {:#x}, SPI in {:#x}, for {}{}",
        child.suite,
        child.mode,
        child.spi_out,
        child.spi_in,
        units::millis(child.age_ms),
        rekey_in(child.rekey_in_ms),
    )
}

fn rekey_in(rekey_in_ms: Option<u64>) -> String {
    rekey_in_ms.map_or_else(String::new, |rekey| {
        format!(", rekeyed in {}", units::millis(rekey))
    })
}

fn dpd(dpd: &DpdStatus) -> String {
    let mut text = format!(
        "{} after {} of silence, dead after {} unanswered at {}; {} sent, {} answered",
        dpd.mode,
        units::millis(dpd.interval_ms),
        dpd.attempts,
        units::millis(dpd.retry_ms),
        dpd.sent,
        dpd.answered,
    );
    if dpd.outstanding > 0 {
        text.push_str(&format!(", {} outstanding", dpd.outstanding));
    }
    if let Some(next) = dpd.next_ms {
        text.push_str(&format!(", next in {}", units::millis(next)));
    }
    text
}
