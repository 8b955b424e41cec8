//! The command line, and what each command does.

mod args;
mod bench;
mod check;
mod completions;
mod counters;
mod ike;
mod keygen;
mod run;
mod show;
mod status;
pub mod table;
pub mod units;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

pub use args::{
    Args, Check, Command, Completions, Counters, Debug, Demo, Keygen, Man, Rekey, Run, Status,
    Tunnel,
};
pub use bench::Bench;

use self::show::ShowError;
use crate::control::{Client, default_socket};
use crate::demo;

/// Runs a command; its output goes to stdout, problems to stderr. The process must have one thread.
///
/// # Errors
/// Those of writing, and those of a command that has nothing more to say than its error.
pub fn run(args: &Args) -> io::Result<ExitCode> {
    match &args.command {
        Command::Check(command) => check::run(command),
        Command::Keygen(command) => keygen::run(command),
        Command::Completions(command) => completions::shell(command),
        Command::Man(command) => completions::man(command),
        Command::Run(command) => run::run(command, args.socket.clone()),
        Command::Demo(command) => Ok(run_demo(command)),
        Command::Bench(command) => Ok(bench::run(command)),
        Command::Up(_)
        | Command::Down(_)
        | Command::Clear(_)
        | Command::Rekey(_)
        | Command::Debug(_)
        | Command::Status(_)
        | Command::Counters(_)
        | Command::Events => match ask(args) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(ShowError::Output(error)) => Err(error),
            Err(error @ (ShowError::Client(_) | ShowError::Answer(_))) => {
                Err(io::Error::other(error.to_string()))
            }
        },
    }
}

fn run_demo(command: &Demo) -> ExitCode {
    let options = demo::Options {
        keep: command.keep,
        json: command.json,
        seconds: u64::from(command.seconds),
        terminal: io::stdout().is_terminal(),
    };
    demo::run(&options, &mut io::stdout())
}

/// The commands for which a daemon is asked.
fn ask(args: &Args) -> Result<(), ShowError> {
    let socket = args.socket.clone().unwrap_or_else(default_socket);
    let mut client = Client::connect(&socket)?;
    let terminal = io::stdout().is_terminal();
    let mut out = io::BufWriter::new(io::stdout());
    match &args.command {
        Command::Up(tunnel) => show::up(&mut client, &tunnel.name, &mut out)?,
        Command::Down(tunnel) => show::down(&mut client, &tunnel.name, &mut out)?,
        Command::Clear(tunnel) => ike::clear(&mut client, &tunnel.name, &mut out)?,
        Command::Rekey(rekey) => {
            ike::rekey(&mut client, &rekey.name, rekey.what.into(), &mut out)?;
        }
        Command::Debug(debug) => ike::debug(&mut client, &debug.name, debug.json, &mut out)?,
        Command::Status(status) if status.watch => {
            watch::watch(&mut client, status.name.as_deref(), terminal, &mut out)?;
        }
        Command::Status(status) => {
            show::status(&mut client, status.name.as_deref(), status.json, &mut out)?;
        }
        Command::Counters(counters) => {
            show::counters(&mut client, &counters.name, counters.json, &mut out)?;
        }
        Command::Events => show::events(&mut client, &mut out)?,
        Command::Demo(_)
        | Command::Bench(_)
        | Command::Run(_)
        | Command::Check(_)
        | Command::Keygen(_)
        | Command::Completions(_)
        | Command::Man(_) => {}
    }
    Ok(out.flush()?)
}

/// Whether stderr takes colors: a terminal, and nothing in the environment against it.
pub fn stderr_takes_color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stderr().is_terminal() && !refused
}
