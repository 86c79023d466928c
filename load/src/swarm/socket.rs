//! The sockets of a swarm: made, bound to a source address, connected without waiting, written.
//!
//! Knows no WebSocket.
use super::conn::Conn;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, connect, send, socket_with, sockopt,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Connections of one source address at most.
pub(crate) const PER_SOURCE: usize = 20_000;

/// Loopback addresses used at most, from 127.0.0.1 on: enough for more connections than a machine has memory for.
pub(crate) const SOURCES_MAX: usize = 60_000;

/// Addresses under one third byte, so that none ends in 0 or 255.
const PER_NET: usize = 250;

/// Receive buffer of one that is to catch up.
const WIDE_BYTES: usize = 256 * 1024;

/// The source address of connection number `n`, where there is a choice: all of 127.0.0.0/8 is local.
pub(super) fn source(target: SocketAddr, sources: usize, n: usize) -> Option<SocketAddr> {
    match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() && sources > 1 => {
            let turn = n % sources.min(SOURCES_MAX);
            let (net, host) = ((turn / PER_NET) as u8, 1 + (turn % PER_NET) as u8);
            Some((Ipv4Addr::new(127, 0, net, host), 0).into())
        }
        _ => None,
    }
}

/// Begins to connect; the socket becomes writable when it is done.
pub(super) fn begin(
    target: SocketAddr,
    source: Option<SocketAddr>,
    receive_bytes: Option<usize>,
) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    if let Some(bytes) = receive_bytes {
        // Before the connect: the window that is offered follows from it.
        sockopt::set_socket_recv_buffer_size(&fd, bytes)?;
    }
    if let Some(source) = source {
        // Without it `bind` takes a port for this address alone, and 28,000 connections exhaust the range.
        setsockopt(&fd, IpBindAddressNoPort, &true)
            .map_err(|error| Errno::from_raw_os_error(error as i32))?;
        bind(&fd, &source)?;
    }
    match connect(&fd, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error),
    }
}

/// Gives back the room that a small receive buffer took, so that what has gathered comes soon.
pub(super) fn widen(fd: &OwnedFd) {
    // Without it, it comes all the same.
    let _ = sockopt::set_socket_recv_buffer_size(fd, WIDE_BYTES);
}

/// What became of a connect.
pub(super) fn connected(fd: &OwnedFd) -> Result<(), Errno> {
    sockopt::socket_error(fd)?
}

/// Sends now what the socket takes and keeps the rest for when it is writable.
pub(super) fn say(conn: &mut Conn, bytes: &[u8]) -> Result<(), Errno> {
    if let Some(rare) = conn.rare.as_mut().filter(|rare| !rare.unsent.is_empty()) {
        rare.unsent.extend_from_slice(bytes);
        return Ok(());
    }
    let taken = write(&conn.fd, bytes)?;
    if taken < bytes.len() {
        conn.rare().unsent.extend_from_slice(&bytes[taken..]);
    }
    Ok(())
}

/// Sends what is kept.
pub(super) fn flush(conn: &mut Conn) -> Result<(), Errno> {
    if let Some(rare) = conn.rare.as_mut().filter(|rare| !rare.unsent.is_empty()) {
        let taken = write(&conn.fd, &rare.unsent)?;
        rare.unsent.drain(..taken);
        conn.tidy();
    }
    Ok(())
}

/// As much as the kernel takes now.
pub(crate) fn write(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut taken = 0;
    while taken < bytes.len() {
        match send(
            fd,
            &bytes[taken..],
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        ) {
            Ok(n) => taken += n,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_take_turns_only_where_the_target_is_loopback() {
        let target = "127.0.0.1:80".parse().unwrap();
        let of = |n| source(target, 2, n).map(|addr| addr.ip().to_string());
        assert_eq!(
            [of(0), of(1), of(2)].map(Option::unwrap),
            ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
        );
        let last = source(target, SOURCES_MAX, SOURCES_MAX - 1).map(|addr| addr.ip().to_string());
        assert_eq!(last.as_deref(), Some("127.0.239.250"));
        assert_eq!(source(target, 1, 5), None);
        assert_eq!(source("192.0.2.1:80".parse().unwrap(), 2, 0), None);
        assert_eq!(source("[::1]:80".parse().unwrap(), 2, 0), None);
    }
}
