//! Which processes are the servers, so that what they cost can be measured.
use super::costs::sample;
use crate::args::{Ramp as Asked, ServerPid};
use crate::failure::Failure;
use crate::target::Target;
use crate::{ctl, measure, node};
use std::net::{IpAddr, UdpSocket};

/// The servers' processes, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Servers {
    /// The roots of their trees.
    pub(super) roots: Vec<u32>,
    /// Why the others are not measured, a line each.
    pub(super) unmeasured: Vec<String>,
}

/// Finds them. That one is elsewhere or cannot be found is no failure, unless it was named.
pub(super) fn servers(asked: &Asked) -> Result<Servers, Failure> {
    let named = |pid| Servers {
        roots: vec![pid],
        unmeasured: Vec::new(),
    };
    match asked.server {
        ServerPid::None => Ok(Servers::default()),
        ServerPid::Pid(pid) if sample(&[pid]).is_none() => Err(Failure::unavailable(format!(
            "--server-pid {pid}: no such process, or not ours to look at"
        ))),
        ServerPid::Pid(pid) => Ok(named(pid)),
        ServerPid::Auto => Ok(found(&asked.targets)),
    }
}

fn found(targets: &[Target]) -> Servers {
    let mut servers = Servers::default();
    for target in targets {
        match root(target) {
            Ok(pid) => servers.roots.push(pid),
            Err(why) => servers.unmeasured.push(format!(
                "CPU and memory of the server at {} are not measured: {why}",
                target.host
            )),
        }
    }
    servers.roots.sort_unstable();
    servers.roots.dedup();
    servers.unmeasured.dedup();
    servers
}

/// Who the server is: as its control socket says; else whoever of this user listens on the port; else as the status on the next port says,
/// since another user's files are not ours to look through.
fn root(target: &Target) -> Result<u32, String> {
    let addr = target.addr;
    if !is_here(addr.ip()) {
        return Err("it is on another machine".to_owned());
    }
    let unsaid = match ctl::root(addr) {
        Ok(pid) if sample(&[pid]).is_some() => return Ok(pid),
        Ok(pid) => format!("its process {pid} is not to be seen from here"),
        Err(error) => error.to_string(),
    };
    measure::listener(addr)
        .or_else(|| node::listening_on(addr))
        .ok_or_else(|| {
            format!(
                "{unsaid}, no process of this user listens on port {}, and none says that it does on the next port \
                 (--server-pid PID names it)",
                addr.port()
            )
        })
}

/// Whether an address is one of this machine: a port of another's may be listened on here too.
fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    fn target(addr: SocketAddr) -> Target {
        Target::parse(&format!("ws://{addr}/ws")).unwrap()
    }

    #[test]
    fn addresses_of_others_are_elsewhere() {
        let here = |ip: &str| is_here(ip.parse().unwrap());
        assert!(here("127.0.0.9") && here("::1"));
        assert!(!here("192.0.2.1"), "an address for documentation");
    }

    #[test]
    fn who_is_found_is_counted_once_and_who_is_not_is_told_with_the_reason() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = server.local_addr().unwrap();
        let unused = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let elsewhere = "192.0.2.1:8124".parse().unwrap();
        let servers = found(&[here, unused, here, elsewhere].map(target));
        assert_eq!(servers.roots, [std::process::id()]);
        let [unfound, away] = servers.unmeasured.as_slice() else {
            panic!("{servers:?}")
        };
        let said = format!(
            "CPU and memory of the server at {unused} are not measured: there is no control socket "
        );
        assert!(unfound.starts_with(&said), "{unfound}");
        assert!(unfound.contains("--server-pid PID"), "{unfound}");
        assert!(away.ends_with("it is on another machine"), "{away}");
    }
}
