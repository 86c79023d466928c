//! A node: started, asked, signalled, and cleared away with every process it made.
use super::{PATIENCE, http_get, within_patience};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Interval, MissedTickBehavior};

/// The program under test.
const SERVER: &str = env!("CARGO_BIN_EXE_pubsub-server");
/// Environment variable that marks all processes of one node; its value is the node's directory.
const MARK: &str = "SYSTEM_TEST_NODE";
/// How often a state is looked at that announces itself by no event. Short against what is waited for, long against
/// what one look costs.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of the node's log shown with a failure.
const LOG_LINES_SHOWN: usize = 60;

/// A running node.
pub struct Node {
    directory: TempDir,
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The supervisor.
    pub pid: u32,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/status` and `/metrics` are.
    pub admin: SocketAddr,
    /// The ready line, whole.
    pub ready: String,
}

/// A program that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// Exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// All it printed.
    pub stdout: String,
    /// All it complained about.
    pub stderr: String,
}

/// Runs `pubsub-server` with `arguments`, with no terminal and none of the caller's settings, until it ends by itself.
pub async fn run_to_end(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let child = command(SERVER)
        .args(arguments)
        .envs(environment.iter().copied())
        .kill_on_drop(true)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = within_patience(&format!("the end of {arguments:?}"), child)
        .await
        .expect("the server's program can be run");
    Finished {
        code: status.code(),
        stdout: String::from_utf8(stdout).expect("stdout is text"),
        stderr: String::from_utf8(stderr).expect("stderr is text"),
    }
}

/// A program, with nothing in its environment that would configure the server.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| configures(name)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn configures(name: &str) -> bool {
    name.starts_with("PUBSUB_") || ["MAX_THREADS", "MAX_ROWS", "RUST_LOG"].contains(&name)
}

impl Node {
    /// Starts a node with `arguments` behind the harness's own (ports 0, own run directory) and waits until it is ready.
    pub async fn start(arguments: &[&str]) -> Node {
        let directory = tempfile::tempdir().expect("a directory for the node");
        Self::start_in(directory, arguments).await
    }

    /// As [`start`](Self::start), as the last argument of another program, which becomes the node: its name and its first arguments.
    pub async fn start_behind(words: &[String], arguments: &[&str]) -> Node {
        let directory = tempfile::tempdir().expect("a directory for the node");
        let mut program = command(&words[0]);
        program.args(&words[1..]).arg(SERVER);
        Self::start_as(program, directory, arguments).await
    }

    /// As [`start`](Self::start), with a configuration file of this text.
    pub async fn start_with(configuration: &str, arguments: &[&str]) -> Node {
        let directory = tempfile::tempdir().expect("a directory for the node");
        let file = directory.path().join("node.toml");
        std::fs::write(&file, configuration).expect("the directory takes a file");
        let file = file.to_str().expect("a path in UTF-8").to_owned();
        Self::start_in(directory, &[&["--config", &file], arguments].concat()).await
    }

    async fn start_in(directory: TempDir, arguments: &[&str]) -> Node {
        Self::start_as(command(SERVER), directory, arguments).await
    }

    async fn start_as(mut program: Command, directory: TempDir, arguments: &[&str]) -> Node {
        let log =
            std::fs::File::create(log_file(directory.path())).expect("a file for the node's log");
        let mut child = program
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--run-dir",
            ])
            .arg(directory.path().join("run"))
            .args(arguments)
            .env(MARK, directory.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server's program can be run");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut ready = String::new();
        let reading = tokio::time::timeout(PATIENCE, stdout.read_line(&mut ready)).await;
        let field = |name: &str| {
            ready
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let (Ok(Ok(_)), Some(listen), Some(admin)) = (reading, field("listen"), field("admin"))
        else {
            let log = tail(directory.path());
            kill_all(directory.path());
            panic!("no ready line but {ready:?} from {arguments:?}; its log:\n{log}");
        };
        Node {
            pid: child.id().expect("it has just answered"),
            listen: listen.parse().expect("listen= is an address"),
            admin: admin.parse().expect("admin= is an address"),
            ready: ready.trim_end().to_owned(),
            directory,
            child,
            stdout,
        }
    }

    /// The URL for WebSocket clients.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.listen)
    }

    /// The run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// All the node has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_file(self.directory.path())).unwrap_or_default()
    }

    /// `/status`, now.
    pub async fn status(&self) -> Value {
        self.try_status()
            .await
            .expect("the admin role answers /status with JSON")
    }

    async fn try_status(&self) -> Option<Value> {
        let response = http_get(self.admin, "/status").await.ok()?;
        (response.code == 200)
            .then(|| serde_json::from_str(&response.body).ok())
            .flatten()
    }

    /// The first `/status` that `holds`; the admin role may be away meanwhile.
    pub async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let mut looks = looks();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                looks.tick().await;
                let status = self.try_status().await;
                if let Some(status) = &status
                    && holds(status)
                {
                    return status.clone();
                }
                last = status.or(last.take());
            }
        })
        .await;
        found.unwrap_or_else(|_| {
            panic!("waited {PATIENCE:?} in vain until {what}; last status: {last:#?}")
        })
    }

    /// Waits until `slots` workers are up.
    pub async fn until_workers(&self, slots: usize) -> Value {
        self.until(&format!("{slots} workers are up"), |status| {
            let workers = workers(status);
            workers.len() == slots && workers.iter().all(|worker| worker["state"] == "up")
        })
        .await
    }

    /// A counter or gauge of `/metrics`, summed over the label sets that contain `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> u64 {
        let body = http_get(self.admin, "/metrics")
            .await
            .expect("the admin role answers /metrics")
            .body;
        sum_of_metric(&body, name, labels)
    }

    /// Waits until a metric has come to `value`: processes post their counts now and then.
    pub async fn until_metric(&self, name: &str, labels: &str, value: u64) {
        let mut looks = looks();
        let mut last = None;
        let reached = tokio::time::timeout(PATIENCE, async {
            while last != Some(value) {
                looks.tick().await;
                last = Some(self.metric(name, labels).await);
            }
        });
        let reached = reached.await;
        assert!(
            reached.is_ok(),
            "{name}{{{labels}}} stays at {last:?} and should come to {value}"
        );
    }

    /// The process in `slot`, as `/status` has it.
    pub async fn worker_pid(&self, slot: u64) -> u32 {
        let status = self.status().await;
        pid_of(worker(&status, slot))
    }

    /// The hub's process, as `/status` has it.
    pub async fn hub_pid(&self) -> u32 {
        pid_of(&self.status().await["hub"])
    }

    /// Runs `pubsub-server ctl` against this node.
    pub async fn ctl(&self, words: &[&str]) -> Finished {
        let run_dir = self.run_dir();
        let mut arguments = vec![
            "ctl",
            "--run-dir",
            run_dir.to_str().expect("a path in UTF-8"),
        ];
        arguments.extend_from_slice(words);
        run_to_end(&arguments, &[]).await
    }

    /// Sends `signal` to `pid`, which has to be one of this node's processes.
    pub fn signal(&self, pid: u32, signal: Signal) {
        assert!(
            is_marked(pid, self.directory.path()),
            "process {pid} is none of this node's"
        );
        kill_process(as_pid(pid), signal).expect("a process of ours can be signalled");
    }

    /// Waits until the supervisor has ended.
    pub async fn exited(&mut self) -> ExitStatus {
        within_patience("the supervisor's exit", self.child.wait())
            .await
            .expect("a child can be waited for")
    }

    /// Everything of the node dies at once, the supervisor first, so that nobody brings anybody back.
    pub async fn kill_all(mut self) {
        self.signal(self.pid, Signal::KILL);
        self.exited().await;
        for pid in self.members() {
            self.signal(pid, Signal::KILL);
        }
        self.all_gone().await;
    }

    /// Waits until no process of this node is left.
    pub async fn all_gone(&self) {
        for pid in members(self.directory.path()) {
            let ended = tokio::task::spawn_blocking(move || wait_for_end(pid))
                .await
                .expect("it doesn't panic");
            assert!(
                ended,
                "process {pid} is still there; the supervisor has ended"
            );
        }
    }

    /// Processes of this node that are alive.
    pub fn members(&self) -> BTreeSet<u32> {
        members(self.directory.path())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the end of the node's log\n{}\n---",
                tail(self.directory.path())
            );
        }
        // First the one that would bring back the others.
        if let Some(supervisor) = self.child.id() {
            kill_process(as_pid(supervisor), Signal::KILL).ok();
        }
        kill_all(self.directory.path());
    }
}

/// Ticks for looking at a state that announces itself by no event.
pub fn looks() -> Interval {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// The rows of `/status` for workers.
pub fn workers(status: &Value) -> &Vec<Value> {
    status["workers"]
        .as_array()
        .unwrap_or_else(|| panic!("no workers in {status}"))
}

/// The row of `/status` for the worker in `slot`.
pub fn worker(status: &Value, slot: u64) -> &Value {
    workers(status)
        .iter()
        .find(|worker| worker["slot"] == slot)
        .unwrap_or_else(|| panic!("no slot {slot} in {status}"))
}

/// The `pid` of a row of `/status`.
pub fn pid_of(row: &Value) -> u32 {
    row["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or_else(|| panic!("no pid in {row}"))
}

/// Resident memory of a process in bytes.
pub fn process_rss_bytes(pid: u32) -> u64 {
    let statm =
        std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("the process is alive");
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("statm has a second number");
    pages * rustix::param::page_size() as u64
}

fn sum_of_metric(text: &str, name: &str, labels: &str) -> u64 {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
                && line.contains(labels)
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("stderr.log")
}

fn tail(directory: &Path) -> String {
    let log = std::fs::read_to_string(log_file(directory)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

/// True once `pid` has ended; false if it hasn't within [`PATIENCE`].
fn wait_for_end(pid: u32) -> bool {
    let Ok(process) = pidfd_open(as_pid(pid), PidfdFlags::empty()) else {
        return true; // it has been gone before it could be looked at
    };
    let patience = rustix::event::Timespec::try_from(PATIENCE).expect("a minute fits");
    let mut interest = [PollFd::new(&process, PollFlags::IN)];
    rustix::event::poll(&mut interest, Some(&patience)).is_ok_and(|ready| ready == 1)
}

fn as_pid(pid: u32) -> Pid {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id")
}

/// True for a living process that was started, by whatever detour, with this node's mark.
fn is_marked(pid: u32, directory: &Path) -> bool {
    let mark = format!("{MARK}={}", directory.display());
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|block| {
        block
            .split(|byte| *byte == 0)
            .any(|entry| entry == mark.as_bytes())
    })
}

fn members(directory: &Path) -> BTreeSet<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc is there");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| is_marked(*pid, directory))
        .collect()
}

/// Ends every process of a node. Twice, since one that was being born the first time carries the mark the second time.
fn kill_all(directory: &Path) {
    for _ in 0..2 {
        for pid in members(directory) {
            kill_process(as_pid(pid), Signal::KILL).ok();
        }
    }
}
