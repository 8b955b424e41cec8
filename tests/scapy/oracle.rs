//! oracle.py as a child process, and one association as it is told of it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The interpreter that Debian's python3-scapy is installed for, whatever else is first in the path.
const PYTHON: &str = "/usr/bin/python3";

/// The second implementation.
#[derive(Debug)]
pub(crate) struct Oracle {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// One direction's association.
#[derive(Debug)]
pub(crate) struct Association {
    /// The file of its key.
    pub(crate) key_file: PathBuf,
    /// The index of its packets.
    pub(crate) spi: u32,
    /// Whether its numbers are extended.
    pub(crate) esn: bool,
    /// Tunnel mode, or transport mode.
    pub(crate) tunnel: bool,
}

/// What the oracle found in a packet.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) iv: Vec<u8>,
    pub(crate) next_header: u8,
    pub(crate) payload: Vec<u8>,
}

impl Oracle {
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scapy/oracle.py");
        let mut child = Command::new(PYTHON)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            requests,
            answers,
        }
    }

    /// Opens a packet from its ESP header on, as one of number `seq`; none if it is not authentic.
    pub(crate) fn open(
        &mut self,
        association: &Association,
        seq: u64,
        esp: &[u8],
    ) -> Option<Opened> {
        let answer = self.ask("open", association, seq, ("esp", esp));
        if answer["refused"] == "IPSecIntegrityError" {
            return None;
        }
        let told = answer["seq"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(told, seq & 0xffff_ffff);
        Some(Opened {
            iv: octets(&answer["iv"]),
            next_header: answer["next_header"].as_u64().unwrap().try_into().unwrap(),
            payload: octets(&answer["payload"]),
        })
    }

    /// The ESP packet of that number around an inner packet.
    pub(crate) fn seal(&mut self, association: &Association, seq: u64, inner: &[u8]) -> Vec<u8> {
        let answer = self.ask("seal", association, seq, ("inner", inner));
        octets(&answer["esp"])
    }

    fn ask(
        &mut self,
        what: &str,
        association: &Association,
        seq: u64,
        (name, octets): (&str, &[u8]),
    ) -> Value {
        let request = json!({
            "do": what, name: hex(octets), "seq": seq, "seq_hi": seq >> 32, "key_file": association.key_file,
            "spi": association.spi, "esn": association.esn, "tunnel": association.tunnel,
        });
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn octets(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("{value}"));
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
