//! An echo by somebody else, in a process of its own: uWebSockets, or else npm's `ws`.
//!
//! Owns the process. Must not contain: what it does (`echo.mjs`).

use crate::child::{Measured, Pin};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The echo of node.
pub struct Peer {
    child: Child,
    name: String,
    port: u16,
}

impl Peer {
    /// Starts it with what is installed under `folder`, or with what the tests have.
    pub fn start(folder: &Path, pin: Pin) -> Result<Self, String> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        pin.for_child();
        let child = Command::new("node")
            .arg(here.join("benches/calls/echo.mjs"))
            .args([folder, &here.join("tests/foreign")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        pin.for_self();
        let mut child = child.map_err(|error| {
            format!(
                "the echo to compare with needs node (18 or newer, with npm) in the PATH: {error}"
            )
        })?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(|error| error.to_string())?;
        }
        let said = line.trim().rsplit_once(' ');
        let Some((name, port)) = said.and_then(|(name, port)| Some((name, port.parse().ok()?)))
        else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "no echo to compare with: npm install --prefix .cache/uws @trufflesuite/uws-js-unofficial@20.30.0-unofficial.0, or tests/run for ws ({line:?})"
            ));
        };
        Ok(Self {
            child,
            name: name.to_owned(),
            port,
        })
    }

    /// What it is, and which version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it is not what was to be compared with.
    pub fn shortcoming(&self) -> Option<String> {
        let is_ws = self.name.starts_with("ws ");
        is_ws.then(|| "uWebSockets.js is not installed (see --help): the echo beside is npm's ws, which is slower".to_owned())
    }
}

impl Measured for Peer {
    fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
