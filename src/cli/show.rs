//! `adit status`, `counters`, `events`, `up` and `down`: what the daemon says, for people and for machines.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::counters::TunnelCounters;
use super::status::{print_status, state};
use crate::control::{Client, ClientError, Request, Response, Status};

/// Why nothing, or not all, was shown.
#[derive(Debug)]
pub(super) enum ShowError {
    /// The daemon could not be asked or said no.
    Client(ClientError),
    /// What was to be shown could not be written.
    Output(io::Error),
    /// The daemon answered something else than asked.
    Answer(Box<Response>),
}

impl fmt::Display for ShowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Output(error) => write!(f, "output: {error}"),
            Self::Answer(answer) => {
                write!(
                    f,
                    "the daemon answers something else than asked: {answer:?}"
                )
            }
        }
    }
}

impl std::error::Error for ShowError {}

impl From<ClientError> for ShowError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for ShowError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Shows one tunnel, or all.
///
/// # Errors
/// Each [`ShowError`]; a tunnel that does not exist is refused by the daemon.
pub(super) fn status(
    client: &mut Client,
    tunnel: Option<&str>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let status = ask_status(client, tunnel)?;
    if json {
        return print_json(&status, out);
    }
    print_status(&status, tunnel.is_some(), None, out)?;
    Ok(())
}

/// Shows a tunnel's traffic, keepalives, and each drop reason with what it means.
///
/// # Errors
/// Each [`ShowError`].
pub(super) fn counters(
    client: &mut Client,
    tunnel: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let status = ask_status(client, Some(tunnel))?;
    for tunnel in &status.tunnels {
        let counters = TunnelCounters::of(tunnel, &status);
        if json {
            print_json(&counters, out)?;
        } else {
            counters.print(out)?;
        }
    }
    Ok(())
}

/// Prints each event as a line of JSON until the daemon ends or nobody reads any more.
///
/// # Errors
/// [`ShowError::Client`] when there is no daemon; a daemon that ends is no error.
pub(super) fn events(client: &mut Client, out: &mut dyn Write) -> Result<(), ShowError> {
    match client.ask(&Request::Events)? {
        Response::Done => {}
        other @ (Response::Status(_)
        | Response::Event(_)
        | Response::Trace(_)
        | Response::Refused(_)) => {
            return Err(ShowError::Answer(Box::new(other)));
        }
    }
    loop {
        match client.receive() {
            Ok(Response::Event(event)) => {
                serde_json::to_writer(&mut *out, &event).map_err(io::Error::from)?;
                writeln!(out)?;
                out.flush()?;
            }
            Ok(
                other @ (Response::Done
                | Response::Status(_)
                | Response::Trace(_)
                | Response::Refused(_)),
            ) => {
                return Err(ShowError::Answer(Box::new(other)));
            }
            Err(ClientError::Broken(_, error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Brings a tunnel up.
///
/// # Errors
/// Each [`ShowError`].
pub(super) fn up(client: &mut Client, tunnel: &str, out: &mut dyn Write) -> Result<(), ShowError> {
    let request = Request::Up {
        tunnel: tunnel.to_owned(),
    };
    command(client, &request)?;
    let status = ask_status(client, Some(tunnel))?;
    for tunnel in &status.tunnels {
        writeln!(out, "{}: {}", tunnel.name, state(tunnel))?;
    }
    Ok(())
}

/// Takes a tunnel down and its interface away.
///
/// # Errors
/// Each [`ShowError`].
pub(super) fn down(
    client: &mut Client,
    tunnel: &str,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let request = Request::Down {
        tunnel: tunnel.to_owned(),
    };
    command(client, &request)?;
    writeln!(
        out,
        "{tunnel}: down, its interface is gone until `adit up {tunnel}`"
    )?;
    Ok(())
}

/// Asks for something that is either done or refused.
///
/// # Errors
/// [`ShowError::Client`] and [`ShowError::Answer`].
pub(super) fn command(client: &mut Client, request: &Request) -> Result<(), ShowError> {
    match client.ask(request)? {
        Response::Done => Ok(()),
        other @ (Response::Status(_)
        | Response::Event(_)
        | Response::Trace(_)
        | Response::Refused(_)) => Err(ShowError::Answer(Box::new(other))),
    }
}

/// Asks for the state of one tunnel or of all.
///
/// # Errors
/// [`ShowError::Client`] and [`ShowError::Answer`].
pub(super) fn ask_status(client: &mut Client, tunnel: Option<&str>) -> Result<Status, ShowError> {
    let request = Request::Status {
        tunnel: tunnel.map(str::to_owned),
    };
    match client.ask(&request)? {
        Response::Status(status) => Ok(*status),
        other @ (Response::Done
        | Response::Event(_)
        | Response::Trace(_)
        | Response::Refused(_)) => Err(ShowError::Answer(Box::new(other))),
    }
}

/// Prints `value` as indented JSON.
///
/// # Errors
/// [`ShowError::Output`].
pub(super) fn print_json(value: &impl Serialize, out: &mut dyn Write) -> Result<(), ShowError> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests;
