//! The two processes that are compared: the real server, and the floor.
//!
//! The floor is this binary again with a hidden argument; it is told what to do line by line over its standard input.
use pubsub_load::floor::{Floor, Plan, Sent};
use pubsub_load::measure;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// The hidden argument.
pub const FLOOR: &str = "floor-process";

/// Time for a server to be ready, and to be gone when it is stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which core the measured process and which the subscribers run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Wherever the scheduler likes.
    Nowhere,
    /// The measured process on core 0, the subscribers on core 1.
    Apart,
}

impl Pin {
    /// What is started now runs on the measured side's core.
    pub fn for_child(self) {
        self.to(0);
    }

    /// This thread runs on the subscribers' core.
    pub fn for_self(self) {
        self.to(1);
    }

    fn to(self, core: usize) {
        if self == Self::Apart {
            let mut set = CpuSet::new();
            set.set(core);
            if let Err(error) = sched_setaffinity(None, &set) {
                eprintln!("fanout: cannot pin to core {core}: {error}");
            }
        }
    }
}

/// A process that is measured.
pub trait Measured {
    /// Where its subscribers connect.
    fn url(&self) -> String;
    /// The root of its tree of processes.
    fn pid(&self) -> u32;
}

/// The real server.
pub struct Server {
    child: Child,
    listen: SocketAddr,
    admin: SocketAddr,
    /// Its log and its run dir; gone with it.
    _dir: TempDir,
}

impl Server {
    /// Starts one that publishes nothing by itself, and waits until it is ready.
    pub fn start(workers: u32, pin: Pin) -> Result<Self, String> {
        Self::configured(workers, pin, "")
    }

    /// The same, with a configuration file of this text.
    pub fn configured(workers: u32, pin: Pin, file: &str) -> Result<Self, String> {
        let dir = TempDir::new().map_err(|error| format!("a folder for the server: {error}"))?;
        let config = dir.path().join("node.toml");
        std::fs::write(&config, file).map_err(|error| error.to_string())?;
        let log =
            std::fs::File::create(dir.path().join("log")).map_err(|error| error.to_string())?;
        pin.for_child();
        let child = Command::new(env!("CARGO_BIN_EXE_pubsub-server"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--source",
                "none",
            ])
            .args(["--workers", &workers.to_string(), "--log-format", "text"])
            .arg("--config")
            .arg(config)
            .arg("--run-dir")
            .arg(dir.path().join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        pin.for_self();
        let mut child = child.map_err(|error| format!("cannot start the server: {error}"))?;
        let lines = lines_of(&mut child);
        let ready = lines.recv_timeout(PATIENCE).unwrap_or_default();
        let address = |name: &str| {
            let value = ready
                .split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
            value.parse().ok()
        };
        let (Some(listen), Some(admin)) = (address("listen"), address("admin")) else {
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            let _ = child.kill();
            return Err(format!("the server is not ready: {ready:?} {log}"));
        };
        Ok(Self {
            child,
            listen,
            admin,
            _dir: dir,
        })
    }

    /// The port its subscribers connect to.
    pub fn port(&self) -> u16 {
        self.listen.port()
    }

    /// Where `/status` is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }
}

impl Measured for Server {
    fn url(&self) -> String {
        format!("ws://{}/ws", self.listen)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Twice: the second stops it at once.
        let pid = Pid::from_child(&self.child);
        let tree = measure::tree(self.child.id()).unwrap_or_default();
        for _ in 0..2 {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
        for process in tree
            .processes
            .iter()
            .filter(|process| process.pid != self.child.id())
        {
            // Roles outlive a supervisor that dies; these were our own.
            if let Some(pid) = Pid::from_raw(process.pid as i32) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The floor in a process of its own.
pub struct FloorChild {
    child: Child,
    answers: Receiver<String>,
    addr: SocketAddr,
}

impl FloorChild {
    /// Starts it.
    pub fn start(pin: Pin) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        pin.for_child();
        let child = Command::new(this)
            .arg(FLOOR)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        pin.for_self();
        let mut child = child.map_err(|error| format!("cannot start the floor: {error}"))?;
        let answers = lines_of(&mut child);
        let addr = answers
            .recv_timeout(PATIENCE)
            .ok()
            .and_then(|line| line.parse().ok());
        match addr {
            Some(addr) => Ok(Self {
                child,
                answers,
                addr,
            }),
            None => Err("the floor does not listen".to_owned()),
        }
    }

    /// Tells it to accept so many subscribers.
    pub fn accept(&mut self, n: usize) {
        self.tell(&format!("accept {n}"));
    }

    /// Tells it what to publish.
    pub fn publish(&mut self, plan: Plan) {
        let Plan {
            per_s,
            frame_bytes,
            per_write,
            duration,
        } = plan;
        self.tell(&format!(
            "publish {per_s} {frame_bytes} {per_write} {}",
            duration.as_nanos()
        ));
    }

    /// Tells it to close its connections.
    pub fn close(&mut self) {
        self.tell("close");
    }

    /// What became of the last plan, once it is done.
    pub fn published(&mut self) -> Option<Sent> {
        let line = self.answers.try_recv().ok()?;
        let mut numbers = line.split(' ').map(|word| word.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Some(Sent {
            publications: next(),
            frames: next(),
            late_ns: next(),
        })
    }

    fn tell(&mut self, command: &str) {
        let told = self
            .child
            .stdin
            .as_mut()
            .map(|input| writeln!(input, "{command}"));
        assert!(matches!(told, Some(Ok(()))), "the floor is gone");
    }
}

impl Measured for FloorChild {
    fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for FloorChild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of a child's standard output as they come; the thread ends with the child.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (to, lines) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}

/// The floor's own process: commands in, one line for each plan out.
pub fn floor_process() -> io::Result<()> {
    let mut floor = Floor::bind()?;
    println!("{}", floor.addr()?);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["accept", n] => floor.accept(n.parse().unwrap_or(0))?,
            ["publish", per_s, frame_bytes, per_write, duration_ns] => {
                let sent = floor.run(Plan {
                    per_s: per_s.parse().unwrap_or(0.0),
                    frame_bytes: frame_bytes.parse().unwrap_or(0),
                    per_write: per_write.parse().unwrap_or(1),
                    duration: Duration::from_nanos(duration_ns.parse().unwrap_or(0)),
                })?;
                println!("{} {} {}", sent.publications, sent.frames, sent.late_ns);
            }
            _ => floor.close(),
        }
    }
    Ok(())
}
