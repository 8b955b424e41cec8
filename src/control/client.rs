//! A blocking client of the control socket.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{Request, Response};

/// A connection to the daemon.
pub struct Client {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why the daemon could not be asked.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens there.
    Connect(PathBuf, io::Error),
    /// The connection broke.
    Broken(PathBuf, io::Error),
    /// What came is no answer.
    Garbled(PathBuf, serde_json::Error),
    /// The daemon said no.
    Refused(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(socket, error) => write!(
                f,
                "no daemon at {}: {error} (start one with `adit run -c FILE`, or name its socket with --socket)",
                socket.display()
            ),
            Self::Broken(socket, error) => {
                write!(f, "the daemon at {} went away: {error}", socket.display())
            }
            Self::Garbled(socket, error) => {
                write!(f, "no answer of a daemon at {}: {error}", socket.display())
            }
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    /// Connects to the daemon at `socket`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] when nobody listens there.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket)
            .map_err(|error| ClientError::Connect(socket.to_owned(), error))?;
        Ok(Self {
            socket: socket.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// Each [`ClientError`] but `Connect`.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        let mut line = serde_json::to_vec(request)
            .map_err(|error| ClientError::Garbled(self.socket.clone(), error))?;
        line.push(b'\n');
        self.stream
            .get_mut()
            .write_all(&line)
            .map_err(|error| ClientError::Broken(self.socket.clone(), error))?;
        self.receive()
    }

    /// Waits for one more answer, as after [`Request::Events`].
    ///
    /// # Errors
    /// Each [`ClientError`] but `Connect`.
    pub fn receive(&mut self) -> Result<Response, ClientError> {
        let mut line = String::new();
        let octets = self
            .stream
            .read_line(&mut line)
            .map_err(|error| ClientError::Broken(self.socket.clone(), error))?;
        if octets == 0 {
            let end = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(ClientError::Broken(self.socket.clone(), end));
        }
        match serde_json::from_str(&line) {
            Ok(Response::Refused(why)) => Err(ClientError::Refused(why)),
            Ok(response) => Ok(response),
            Err(error) => Err(ClientError::Garbled(self.socket.clone(), error)),
        }
    }
}
