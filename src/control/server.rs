//! The daemon's end of the control socket: one task a connection, every decision with the daemon's own loop.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::FlockOperation;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::{Event, Request, Response, TraceLine};

/// Octets of the longest request line; a longer one ends the connection.
const REQUEST_OCTETS: u64 = 4096;

/// A request and where its answer goes.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Takes the answer.
    pub answer: oneshot::Sender<Response>,
}

/// Why the socket could not be opened.
#[derive(Debug)]
pub enum SocketError {
    /// Another daemon, of this process number where known, has it.
    InUse(PathBuf, String),
    /// The operating system refused.
    Refused(PathBuf, io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(socket, pid) => write!(
                f,
                "another adit daemon (process {pid}) listens on {}: stop it, or give this one another --socket",
                socket.display()
            ),
            Self::Refused(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for SocketError {}

/// The socket, and the lock beside it that says whose it is. Both files are removed at the end.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    socket: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Bound {
    /// Takes the lock of `socket`, removes what a killed daemon left there, and listens with mode 0600.
    ///
    /// # Errors
    /// [`SocketError::InUse`] while another daemon lives, [`SocketError::Refused`] for what the system refuses.
    pub fn open(socket: &Path) -> Result<Self, SocketError> {
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |error| SocketError::Refused(path.clone(), error)
        };
        if let Some(folder) = socket
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(folder)
                .map_err(refused(folder))?;
        }
        let lock_path = socket.with_extension("lock");
        let lock = take_lock(&lock_path, socket)?;
        match fs::remove_file(socket) {
            Ok(()) => {
                tracing::info!(socket = %socket.display(), "removed the socket of a daemon that was killed")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SocketError::Refused(socket.to_owned(), error)),
        }
        let listener = bind_private(socket).map_err(refused(socket))?;
        Ok(Self {
            listener,
            socket: socket.to_owned(),
            lock_path,
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // The lock file goes last: while it is there and locked, nobody else takes the socket's name.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.lock_path);
    }
}

fn take_lock(path: &Path, socket: &Path) -> Result<File, SocketError> {
    let refused = |error: io::Error| SocketError::Refused(path.to_owned(), error);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(refused)?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        let _ = lock.read_to_string(&mut pid);
        return Err(SocketError::InUse(socket.to_owned(), pid.trim().to_owned()));
    }
    lock.set_len(0).map_err(refused)?;
    lock.rewind().map_err(refused)?;
    writeln!(lock, "{}", std::process::id()).map_err(refused)?;
    Ok(lock)
}

/// Binds under a name that nobody knows, narrows the mode, then renames: the socket is never open to others.
fn bind_private(socket: &Path) -> io::Result<UnixListener> {
    let mut hidden = socket.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = PathBuf::from(hidden);
    let _ = fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&hidden, socket))
        .inspect_err(|_| {
            let _ = fs::remove_file(&hidden);
        })?;
    Ok(listener)
}

/// Accepts clients for ever; each request goes to `calls`, events come from `events` and what IKE does from `traces`, which has a
/// receiver only while somebody asked for it.
pub async fn serve(
    bound: &Bound,
    calls: mpsc::Sender<Call>,
    events: broadcast::Sender<Event>,
    traces: broadcast::Sender<TraceLine>,
) {
    loop {
        match bound.listener.accept().await {
            Ok((stream, _)) => {
                let (calls, events) = (calls.clone(), events.subscribe());
                let traces = traces.clone();
                tokio::spawn(async move {
                    if let Err(error) = attend(stream, calls, events, traces).await {
                        tracing::debug!(%error, "a control client went away");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn attend(
    stream: UnixStream,
    calls: mpsc::Sender<Call>,
    mut events: broadcast::Receiver<Event>,
    traces: broadcast::Sender<TraceLine>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = tokio::io::AsyncReadExt::take(&mut reader, REQUEST_OCTETS);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let response = match serde_json::from_slice(&line) {
            Ok(Request::Events) => {
                send(&mut writer, &Response::Done).await?;
                return stream_events(&mut reader, &mut writer, &mut events).await;
            }
            Ok(Request::Debug { tunnel }) => {
                let mut lines = traces.subscribe();
                let request = Request::Debug {
                    tunnel: tunnel.clone(),
                };
                let response = call(&calls, request).await;
                send(&mut writer, &response).await?;
                if response == Response::Done {
                    return stream_traces(&mut reader, &mut writer, &tunnel, &mut lines).await;
                }
                continue;
            }
            Ok(request) => call(&calls, request).await,
            Err(error) => Response::Refused(format!("not a request: {error}")),
        };
        send(&mut writer, &response).await?;
    }
}

async fn call(calls: &mpsc::Sender<Call>, request: Request) -> Response {
    let (answer, answered) = oneshot::channel();
    if calls.send(Call { request, answer }).await.is_err() {
        return Response::Refused("the daemon is stopping".to_owned());
    }
    answered
        .await
        .unwrap_or_else(|_| Response::Refused("the daemon is stopping".to_owned()))
}

async fn stream_events(
    reader: &mut (impl tokio::io::AsyncRead + Unpin),
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    events: &mut broadcast::Receiver<Event>,
) -> io::Result<()> {
    let mut octet = [0];
    loop {
        tokio::select! {
            read = tokio::io::AsyncReadExt::read(reader, &mut octet) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            event = events.recv() => match event {
                Ok(event) => send(writer, &Response::Event(Box::new(event))).await?,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    let why = format!("{lost} events were lost: this client reads too slowly");
                    send(writer, &Response::Refused(why)).await?;
                }
            }
        }
    }
}

async fn stream_traces(
    reader: &mut (impl tokio::io::AsyncRead + Unpin),
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    tunnel: &str,
    lines: &mut broadcast::Receiver<TraceLine>,
) -> io::Result<()> {
    let mut octet = [0];
    loop {
        tokio::select! {
            read = tokio::io::AsyncReadExt::read(reader, &mut octet) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            line = lines.recv() => match line {
                Ok(line) if line.is_about(tunnel) => {
                    send(writer, &Response::Trace(Box::new(line))).await?;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    let gap = format!("{lost} lines were lost: this client reads too slowly");
                    let gap = TraceLine::new(None, gap, Instant::now());
                    send(writer, &Response::Trace(Box::new(gap))).await?;
                }
            }
        }
    }
}

async fn send(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    response: &Response,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::Lines;

    use super::*;

    /// A daemon that has one tunnel, `a`, and a client that asked to debug `tunnel`.
    async fn debug(
        tunnel: &str,
        traces: &broadcast::Sender<TraceLine>,
    ) -> (UnixStream, mpsc::Receiver<Call>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (calls, asked) = mpsc::channel(1);
        let events = broadcast::Sender::new(1).subscribe();
        tokio::spawn(attend(theirs, calls, events, traces.clone()));
        let mut ours = ours;
        let request = Request::Debug {
            tunnel: tunnel.to_owned(),
        };
        let line = serde_json::to_string(&request).unwrap() + "\n";
        ours.write_all(line.as_bytes()).await.unwrap();
        (ours, asked)
    }

    async fn answer(lines: &mut Lines<BufReader<UnixStream>>) -> Response {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
        serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap()
    }

    fn line(tunnel: Option<&str>, text: &str) -> TraceLine {
        TraceLine::new(tunnel, text, Instant::now())
    }

    fn in_runtime(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn a_debug_stream_holds_the_lines_of_its_tunnel_from_the_request_on_and_says_what_it_lost() {
        in_runtime(async {
            let traces = broadcast::Sender::new(2);
            let (stream, mut asked) = debug("a", &traces).await;
            let call = asked.recv().await.unwrap();
            // Between the request and its answer a message may already come.
            let sent = [
                line(Some("a"), "lost"),
                line(Some("b"), "not asked for"),
                line(None, "of nobody known"),
            ];
            for line in sent.clone() {
                traces.send(line).unwrap();
            }
            call.answer.send(Response::Done).unwrap();
            let mut lines = BufReader::new(stream).lines();
            assert_eq!(answer(&mut lines).await, Response::Done);
            let Response::Trace(gap) = answer(&mut lines).await else {
                panic!("no line");
            };
            assert!(gap.line.starts_with("1 lines were lost"), "{}", gap.line);
            let [_, _, last] = sent;
            assert_eq!(answer(&mut lines).await, Response::Trace(Box::new(last)));
        });
    }

    #[test]
    fn a_tunnel_that_the_daemon_refuses_to_debug_is_not_listened_to() {
        in_runtime(async {
            let traces = broadcast::Sender::new(2);
            let (stream, mut asked) = debug("x", &traces).await;
            let refused = Response::Refused("no tunnel \"x\"".to_owned());
            let call = asked.recv().await.unwrap();
            call.answer.send(refused.clone()).unwrap();
            let mut lines = BufReader::new(stream).lines();
            assert_eq!(answer(&mut lines).await, refused);
            assert_eq!(traces.receiver_count(), 0);
        });
    }
}
