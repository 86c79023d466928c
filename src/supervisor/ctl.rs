//! The control socket: `ctl.sock` in the run dir, and the client that talks to it.
//!
//! Owns who may ask, how many at once, and reading and answering. Must not contain: what is done about a question
//! ([`node`](super::node)). Driven by a task of the supervisor on one end, by `pubsub-server ctl` and the admin role on the other.
//!
//! Laws: only the same user and root are heard, and only a node of the same user or of root is asked, unless it is root who asks; an
//! asker that says nothing or too much costs one of [`ASKERS_MAX`] places and nothing else.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

use crate::link::control::{LINE_BYTES, split};
use crate::link::ctl::{Answer, Ask};
use crate::link::{paths, peer};

/// Connections to the control socket at once.
pub const ASKERS_MAX: usize = 16;
/// An answer never takes longer than the slowest worker's patience, many times over.
const ANSWER: Duration = Duration::from_secs(5);
/// Pause after a failed accept, for want of descriptors: trying again at once would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A question and where its answer goes.
pub type Asked = (Ask, oneshot::Sender<Answer>);

/// Takes questions until the receiver is gone.
pub async fn listen(listener: StdUnixListener, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(ASKERS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        match listener.accept().await {
            Ok((stream, _)) if may_ask(&stream) => {
                let asked = asked.clone();
                tokio::spawn(async move {
                    hear(stream, asked).await;
                    drop(place);
                });
            }
            Ok(_) => warn!("another user tried the control socket"),
            Err(error) => {
                warn!(%error, "the control socket cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn may_ask(stream: &UnixStream) -> bool {
    peer::user_of(stream).is_ok_and(peer::is_ours)
}

async fn hear(stream: UnixStream, asked: mpsc::Sender<Asked>) {
    let (mut answers, mut asks) = split::<Answer, Ask>(stream);
    loop {
        let answer = match asks.recv().await {
            Ok(None) => return,
            Ok(Some(ask)) => {
                let (reply, replied) = oneshot::channel();
                if asked.send((ask, reply)).await.is_err() {
                    return;
                }
                replied
                    .await
                    .unwrap_or_else(|_| Answer::Refused("the node is ending".to_owned()))
            }
            Err(error) => Answer::Refused(format!("not a question that this node knows: {error}")),
        };
        if answers.send(&answer).await.is_err() {
            return;
        }
    }
}

/// Why a node is not asked.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// It can't be connected to.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is somebody else's: what it would say can't be relied on.
    #[error("it is user {user}'s, neither this user's nor root's")]
    Stranger {
        /// Whose.
        user: u32,
    },
}

/// A connection to a node's control socket, for a program that can wait.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<StdUnixStream>,
}

impl Client {
    /// Connects to the node of this run dir. Root may ask everybody's, which it has named.
    pub fn connect(run_dir: &Path) -> Result<Self, ConnectError> {
        let stream = StdUnixStream::connect(paths::ctl(run_dir))?;
        let user = peer::user_of(&stream)?;
        if !peer::is_ours(user) && !geteuid().is_root() {
            return Err(ConnectError::Stranger { user });
        }
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut answer = Vec::new();
        // Each worker of the largest node may take a few hundred bytes of a status.
        let most = LINE_BYTES as u64 * 16;
        if self
            .stream
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut answer)?
            == 0
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Waits until the node has ended, however long that takes.
    pub fn wait_for_end(mut self) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(None)?;
        let mut rest = [0; 64];
        while self.stream.read(&mut rest)? > 0 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::peer::told::as_user;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    /// A run dir whose control socket anybody can connect to.
    fn open_run_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        dir
    }

    fn open_socket(run_dir: &Path) -> StdUnixListener {
        let listener = super::super::sockets::unix(&paths::ctl(run_dir)).unwrap();
        set_permissions(paths::ctl(run_dir), Permissions::from_mode(0o777)).unwrap();
        listener
    }

    #[test]
    fn a_stranger_is_not_heard() {
        let dir = open_run_dir();
        let listener = open_socket(dir.path());
        let path = dir.path().to_owned();
        let (over, is_over) = oneshot::channel();
        let stranger = std::thread::spawn(move || {
            let answer = as_user(4711, || {
                let mut client = Client::connect(&path).expect("what is root's is asked");
                client.ask(&Ask::Stop)
            });
            over.send(()).unwrap();
            answer
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (ask, mut asks) = mpsc::channel(1);
        runtime.block_on(async {
            tokio::select! {
                ended = listen(listener, ask) => panic!("it has ended: {ended:?}"),
                told = is_over => told.unwrap(),
            }
        });
        let answer = stranger.join().unwrap();
        // Only root may become another user.
        assert_eq!(answer.is_some(), geteuid().is_root());
        assert!(answer.is_none_or(|answer| answer.is_err()));
        assert!(asks.try_recv().is_err(), "nothing was asked");
    }

    #[test]
    fn a_strangers_node_is_not_asked_but_by_root() {
        let dir = open_run_dir();
        let Some(_listener) = as_user(4711, || open_socket(dir.path())) else {
            // Only root may become another user.
            assert!(!geteuid().is_root());
            return;
        };
        assert!(Client::connect(dir.path()).is_ok());
        assert!(as_user(4711, || Client::connect(dir.path()).is_ok()).unwrap());
        let refused = as_user(4712, || Client::connect(dir.path()).map(|_| ())).unwrap();
        let line = refused.unwrap_err().to_string();
        assert_eq!(line, "it is user 4711's, neither this user's nor root's");
    }

    #[test]
    fn questions_are_answered_in_order_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let listener = super::super::sockets::unix(&paths::ctl(dir.path())).unwrap();
        let path = dir.path().to_owned();
        let (got, has_got) = oneshot::channel();
        let client = std::thread::spawn(move || {
            let mut client = Client::connect(&path).unwrap();
            let first = client.ask(&Ask::Workers { n: 3 }).unwrap();
            client
                .stream
                .get_mut()
                .write_all(b"{\"ctl\":\"dance\"}\n")
                .unwrap();
            let mut line = String::new();
            client.stream.read_line(&mut line).unwrap();
            let last = client.ask(&Ask::Stop).unwrap();
            got.send(()).unwrap();
            client.wait_for_end().unwrap();
            (first, line, last)
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let asked = runtime.block_on(async {
            let (ask, mut asks) = mpsc::channel(1);
            tokio::spawn(listen(listener, ask));
            let mut seen = Vec::new();
            while seen.last() != Some(&Ask::Stop) {
                let (ask, reply) = asks.recv().await.unwrap();
                reply.send(Answer::Done(format!("{}", seen.len()))).unwrap();
                seen.push(ask);
            }
            has_got.await.unwrap();
            seen
        });
        drop(runtime);
        let (first, refused, last) = client.join().unwrap();
        assert_eq!(asked, [Ask::Workers { n: 3 }, Ask::Stop]);
        assert!(
            matches!(first, Answer::Done(text) if text == "0") && matches!(last, Answer::Done(_))
        );
        assert!(
            refused.contains("refused") && refused.contains("dance"),
            "{refused}"
        );
    }
}
