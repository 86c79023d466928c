//! Who is at the other end of a Unix socket.
//!
//! Owns whom a node and its tools talk to. Must not contain: what is said. Driven by whoever accepts or connects.
//!
//! The kernel says it, so nobody can pretend: of one who has connected the user it was then, of one who listens the user it was when it
//! began to.
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::geteuid;
use std::io;
use std::os::fd::AsFd;

/// The user at the other end.
pub fn user_of(socket: &impl AsFd) -> io::Result<u32> {
    Ok(getsockopt(socket, PeerCredentials)?.uid())
}

/// Whether this is the user of this process, or root.
pub fn is_ours(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

#[cfg(test)]
pub(crate) mod told {
    //! Other users, for tests.
    use rustix::process::Uid;
    use rustix::thread::set_thread_res_uid;

    /// Does something as another user; `None` where this process may not become one.
    pub(crate) fn as_user<T: Send>(user: u32, act: impl FnOnce() -> T + Send) -> Option<T> {
        let become_it = move || {
            // Of this thread alone.
            set_thread_res_uid(None::<Uid>, Uid::from_raw(user), None::<Uid>).ok()?;
            Some(act())
        };
        std::thread::scope(|scope| scope.spawn(become_it).join().expect("no panic"))
    }
}

#[cfg(test)]
mod tests {
    use super::told::as_user;
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn ours_are_this_user_and_root() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = geteuid().as_raw();
        assert_eq!(user_of(&one).unwrap(), own);
        assert!(is_ours(own) && is_ours(0) && !is_ours(own + 1));
        // Only root may become another user.
        let seen_by_another = as_user(4711, || (is_ours(4711), is_ours(own)));
        assert_eq!(seen_by_another.is_some(), own == 0);
        assert!(seen_by_another.is_none_or(|seen| seen == (true, true)));
    }
}
