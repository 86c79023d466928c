//! Where the sockets of a node are in its run dir.
//!
//! Owns their names. Must not contain: making or using them. Driven by whoever binds or connects.

use std::path::{Path, PathBuf};

/// Where `ctl` and the admin role talk to the supervisor.
pub fn ctl(run_dir: &Path) -> PathBuf {
    run_dir.join("ctl.sock")
}

/// Where workers reach the hub.
pub fn hub(run_dir: &Path) -> PathBuf {
    run_dir.join("hub.sock")
}
