//! A disk of few bytes that only one node sees: a file system in memory, in a mount namespace that ends with the node.
use rustix::process::geteuid;
use std::path::Path;
use std::process::Command;

/// What goes before a program and its arguments, so that it finds an empty file system of so many bytes at `folder`.
pub fn on_small_disk(folder: &Path, bytes: u64) -> Vec<String> {
    let mount = format!("mount -t tmpfs -o size={bytes} tmpfs \"$0\" && exec \"$@\"");
    let folder = folder.to_str().expect("a path in UTF-8");
    let as_root = if geteuid().is_root() {
        &[][..]
    } else {
        &["--user", "--map-root-user"]
    };
    let own = ["unshare", "--mount"].into_iter();
    let inside = ["sh", "-c", &mount, folder];
    let words: Vec<String> = own
        .chain(as_root.iter().copied())
        .chain(inside)
        .map(str::to_owned)
        .collect();
    check(&words);
    words
}

/// Tries it with a program that does nothing.
fn check(words: &[String]) {
    let tried = Command::new(&words[0])
        .args(&words[1..])
        .arg("true")
        .output();
    let why = match tried {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "this test needs a mount namespace of its own, and `unshare --mount` gives none: {why}\n\
         Install util-linux; run the test as root, in a container with CAP_SYS_ADMIN, or allow user namespaces:\n\
         sysctl -w user.max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0"
    );
}
