//! The view on a terminal of its own (`script` makes one): that it comes, that keys end the run, and that the terminal is given back.
mod support;

use pubsub_load::view::{Screen, View};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use support::{Script, serve};

/// What a terminal is told when a view takes it, and when it gives it back.
const TAKES: &str = "\u{1b}[?1049h";
const GIVES_BACK: &str = "\u{1b}[?1049l";

/// A program in a terminal.
struct InTerminal {
    child: Child,
    output: ChildStdout,
    seen: String,
}

impl InTerminal {
    /// Runs a command of a shell in a terminal of this kind.
    fn run(command: &str, term: &str) -> Self {
        // Who runs these tests may ignore hang-ups, and so would what is run here.
        let mut child = Command::new("env")
            .args([
                "--default-signal=HUP",
                "script",
                "-qefc",
                &format!("stty rows 24 cols 80; {command}"),
                "/dev/null",
            ])
            .env("TERM", term)
            .env("SHELL", "/bin/sh")
            .env_remove("OUTLIER_SIZE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("env of coreutils, and script of util-linux");
        let output = child.stdout.take().unwrap();
        let seen = String::new();
        Self {
            child,
            output,
            seen,
        }
    }

    /// A ramp to three connections that would take an hour.
    fn ramp(further: &str, term: &str) -> Self {
        let (load, addr) = (env!("CARGO_BIN_EXE_pubsub-load"), serve(Script::honest(4)));
        let steps = "--topic t --step 3 --max 3 --every 300ms --hold 1h";
        Self::run(
            &format!("exec {load} ramp --url ws://{addr}/ws {steps} {further}"),
            term,
        )
    }

    /// The same where a shell says its process first, and goes on when it has ended.
    fn ramp_under_a_shell(then: &str) -> Self {
        let (load, addr) = (env!("CARGO_BIN_EXE_pubsub-load"), serve(Script::honest(4)));
        let steps = "--topic t --step 3 --max 3 --every 300ms --hold 1h";
        let ramp = format!("exec {load} ramp --url ws://{addr}/ws {steps}");
        Self::run(&format!("sh -c 'echo pid=$$.; {ramp}'{then}"), "xterm")
    }

    /// The process that the shell has said.
    fn told_pid(&self) -> Pid {
        let said = self.seen.split_once("pid=").unwrap().1;
        let pid = said.split_once('.').unwrap().0;
        Pid::from_raw(pid.parse().unwrap()).unwrap()
    }

    /// Reads until this is seen; whether it was before the end.
    fn sees(&mut self, text: &str) -> bool {
        let mut bytes = [0; 4096];
        while !self.seen.contains(text) {
            match self.output.read(&mut bytes) {
                Ok(0) | Err(_) => return false,
                Ok(n) => self.seen += &String::from_utf8_lossy(&bytes[..n]),
            }
        }
        true
    }

    fn press(&mut self, keys: &str) {
        let mut input = self.child.stdin.as_ref().unwrap();
        input.write_all(keys.as_bytes()).unwrap();
    }

    /// All that was seen until its end, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        while self.sees("\u{0}\u{0}") {}
        (self.seen, self.child.wait().unwrap().code())
    }
}

#[test]
fn a_key_ends_the_run_in_order_and_the_summary_is_on_the_terminal_that_was_there() {
    for key in ["q", "\u{3}"] {
        let mut terminal = InTerminal::ramp("", "xterm-256color");
        assert!(terminal.sees("ends the run"), "{}", terminal.seen);
        assert!(
            terminal.sees("generator"),
            "a line has ended: {}",
            terminal.seen
        );
        terminal.press(key);
        let (seen, code) = terminal.end();
        assert_eq!(code, Some(0), "{seen}");
        let place = |text: &str| {
            seen.find(text)
                .unwrap_or_else(|| panic!("no {text}: {seen}"))
        };
        let order = [
            "clients,connected,",
            TAKES,
            GIVES_BACK,
            "3,3,",
            "interrupted: ",
            "residual 0",
        ];
        let places = order.map(place);
        assert!(places.is_sorted(), "{places:?} {seen}");
        assert_eq!(seen.matches(TAKES).count(), 1);
    }
}

#[test]
fn a_signal_ends_the_run_in_order_and_the_terminal_is_as_it_was() {
    for signal in [Signal::QUIT, Signal::TERM, Signal::HUP] {
        let mut terminal = InTerminal::ramp_under_a_shell("; stty -a");
        assert!(terminal.sees("ends the run"), "{}", terminal.seen);
        kill_process(terminal.told_pid(), signal).unwrap();
        let (seen, _) = terminal.end();
        let place = |text: &str| {
            seen.find(text)
                .unwrap_or_else(|| panic!("{signal:?}: no {text}: {seen}"))
        };
        let order = [TAKES, GIVES_BACK, "interrupted: ", "residual 0", "speed "];
        let places = order.map(place);
        assert!(places.is_sorted(), "{places:?} {seen}");
        let modes: Vec<&str> = seen[place("speed ")..].split_whitespace().collect();
        let sane = ["icanon", "echo", "opost", "isig"];
        assert!(sane.iter().all(|mode| modes.contains(mode)), "{modes:?}");
    }
}

#[test]
fn a_terminal_that_hangs_up_leaves_the_files_whole() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let further = format!("--json {}", json.display());
    let mut terminal = InTerminal::ramp(&further, "xterm");
    assert!(terminal.sees("ends the run"), "{}", terminal.seen);
    terminal.child.kill().unwrap();
    terminal.child.wait().unwrap();
    // It is there when it is whole.
    while !json.exists() {
        std::thread::yield_now();
    }
    let text = std::fs::read_to_string(&json).unwrap();
    let run: pubsub_load::record::Run = serde_json::from_str(&text).unwrap();
    assert_eq!(run.end, pubsub_load::record::End::Interrupted);
    assert_eq!(run.verdict.books.residual, 0);
}

#[test]
fn where_lines_are_asked_for_or_a_terminal_can_no_more_there_are_lines() {
    for (further, term) in [("--no-tui", "xterm"), ("", "dumb")] {
        let mut terminal = InTerminal::ramp(further, term);
        assert!(terminal.sees("clients,connected,"), "{}", terminal.seen);
        assert!(terminal.sees("3 of 3 connected"), "{}", terminal.seen);
        terminal.press("\u{3}");
        let (seen, code) = terminal.end();
        assert_eq!(code, Some(0), "{seen}");
        assert!(
            !seen.contains(TAKES) && seen.contains("residual 0"),
            "{seen}"
        );
    }
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let this = std::env::current_exe().unwrap();
    let arguments = "--exact panics_with_the_terminal_taken --ignored --nocapture";
    let command = format!("exec {} {arguments}", this.display());
    let (seen, code) = InTerminal::run(&command, "xterm").end();
    assert_ne!(code, Some(0), "{seen}");
    let place = |text: &str| {
        seen.find(text)
            .unwrap_or_else(|| panic!("no {text}: {seen}"))
    };
    let order = [TAKES, GIVES_BACK, "panicked on purpose"];
    assert!(order.map(place).is_sorted(), "{seen}");
}

#[test]
#[ignore = "is run in a terminal by the test above"]
fn panics_with_the_terminal_taken() {
    let _view = View::begin(Screen::new("t".to_owned(), 1, 60.0)).unwrap();
    panic!("panicked on purpose");
}
