//! The local socket: commands for a store that a daemon holds. One JSON line each way.
//!
//! Only the owner of the data directory gets in: the socket lies in it with mode 0600 and the peer's user
//! must be the daemon's or root.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use crate::command::Command;
use crate::error::{self, Code, Error, Result};
use crate::reply::Reply;

/// Wait after a caller could not be let in.
const RETRY: std::time::Duration = std::time::Duration::from_millis(200);
/// Longest line: a chunk of records to add, or a page of an export.
const LINE_MAX: u64 = 64 * 1024 * 1024;
/// A Unix socket's path has at most 108 bytes, with its end mark (unix(7)).
const PATH_MAX: usize = 100;

/// What a daemon is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// A command on the store.
    Execute {
        /// The command.
        command: Box<Command>,
    },
    /// One session with each known peer.
    Sync {
        /// Only this address.
        peer: Option<String>,
    },
}

impl Request {
    /// What it is called in logs, which have nothing of what it carries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Execute { command } => command.name(),
            Self::Sync { .. } => "sync",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Response {
    Reply(Reply),
    Error { code: String, message: String },
}

/// Where the socket of a data directory lies.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join("lianxin.sock")
}

/// Does something with the socket's path, which is made short where it is longer than sockets may have: the system gives
/// every open directory a short name. So it lies in the data directory however that is called, and from wherever.
fn reached<R>(directory: &Path, work: impl FnOnce(&Path) -> std::io::Result<R>) -> Result<R> {
    use std::os::fd::AsRawFd as _;
    let path = path(directory);
    if path.as_os_str().len() <= PATH_MAX {
        return work(&path).map_err(error::file(&path));
    }
    let open = std::fs::File::open(directory).map_err(error::file(directory))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/lianxin.sock", open.as_raw_fd()));
    work(&short).map_err(error::file(&path))
}

/// Connects to the daemon of a data directory. A socket of another user is nobody's daemon: it would
/// be handed what residents said.
#[must_use]
pub fn connect(directory: &Path) -> Option<UnixStream> {
    use std::os::unix::fs::MetadataExt as _;
    let path = path(directory);
    let socket = std::fs::symlink_metadata(&path).ok()?;
    let owner = std::fs::metadata(directory).ok()?;
    (socket.uid() == owner.uid())
        .then(|| reached(directory, |path| UnixStream::connect(path)).ok())
        .flatten()
}

/// Asks the daemon of a data directory, if one runs there.
///
/// # Errors
/// The daemon's own; [`Code::InUse`] when it does not answer.
pub fn ask(directory: &Path, request: &Request) -> Result<Option<Reply>> {
    let Some(mut stream) = connect(directory) else {
        return Ok(None);
    };
    let silent = |error| Error::because(Code::InUse, "the running lianxin does not answer", error);
    let mut line = serde_json::to_string(request)
        .map_err(|error| Error::because(Code::Internal, "a command cannot be written", error))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(silent)?;
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .map_err(silent)?;
    let response: Response = serde_json::from_str(&answer).map_err(|error| {
        Error::because(Code::InUse, "the running lianxin does not answer", error)
    })?;
    match response {
        Response::Reply(reply) => Ok(Some(reply)),
        Response::Error { code, message } => {
            let code = Code::ALL.iter().find(|known| known.text() == code);
            Err(Error::new(code.copied().unwrap_or(Code::Internal), message))
        }
    }
}

/// Answers requests until dropped. `carry_out` does one and gives its reply.
///
/// # Errors
/// The socket cannot be made.
pub fn serve<F, R>(directory: &Path, carry_out: F) -> Result<tokio::task::JoinHandle<()>>
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply>> + Send + 'static,
{
    let path = path(directory);
    // The directory's lock is held, so a socket that lies here belongs to nobody.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error::file(&path)(error));
        }
        _ => {}
    }
    let listener = reached(directory, |path| UnixListener::bind(path))?;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .map_err(error::file(&path))?;
    let owner = std::fs::metadata(&path).map_err(error::file(&path))?.uid();
    let carry_out = Arc::new(carry_out);
    Ok(tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, for one: that passes.
                tokio::time::sleep(RETRY).await;
                continue;
            };
            let allowed = stream
                .peer_cred()
                .is_ok_and(|peer| [0, owner].contains(&peer.uid()));
            if !allowed {
                continue;
            }
            let carry_out = Arc::clone(&carry_out);
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut line = String::new();
                let mut reader = tokio::io::BufReader::new(read).take(LINE_MAX);
                if reader.read_line(&mut line).await.is_err() {
                    return;
                }
                let result = match serde_json::from_str(&line) {
                    Ok(request) => carry_out(request).await,
                    Err(error) => Err(Error::because(Code::Usage, "not a request", error)),
                };
                let response = match result {
                    Ok(reply) => Response::Reply(reply),
                    Err(error) => Response::Error {
                        code: error.code().text().to_owned(),
                        message: error.chain(),
                    },
                };
                if let Ok(mut line) = serde_json::to_string(&response) {
                    line.push('\n');
                    // A caller that has gone away needs no answer.
                    drop(write.write_all(line.as_bytes()).await);
                }
            });
        }
    }))
}
