//! Which processes are the servers, so that what they cost can be measured.
use super::costs::sample;
use crate::args::{Ramp as Asked, ServerPid};
use crate::failure::Failure;
use crate::{measure, node};
use std::net::{IpAddr, UdpSocket};

/// The roots of their trees; none: they are elsewhere, or not to be found.
pub(super) fn servers(asked: &Asked) -> Result<Vec<u32>, Failure> {
    match asked.server {
        ServerPid::None => Ok(Vec::new()),
        ServerPid::Pid(pid) if sample(&[pid]).is_none() => Err(Failure::unavailable(format!(
            "--server-pid {pid}: no such process, or not ours to look at"
        ))),
        ServerPid::Pid(pid) => Ok(vec![pid]),
        ServerPid::Auto => {
            let here = asked
                .targets
                .iter()
                .filter(|target| is_here(target.addr.ip()));
            // Another user's files are not ours to look through; a node tells its process id to whoever asks.
            let found = here.filter_map(|target| {
                measure::listener(target.addr).or_else(|| node::listening_on(target.addr))
            });
            let mut pids: Vec<u32> = found.collect();
            pids.sort_unstable();
            pids.dedup();
            Ok(pids)
        }
    }
}

/// Whether an address is one of this machine: a port of another's may be listened on here too.
fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_others_are_elsewhere() {
        let here = |ip: &str| is_here(ip.parse().unwrap());
        assert!(here("127.0.0.9") && here("::1"));
        assert!(!here("192.0.2.1"), "an address for documentation");
    }
}
