//! What a connection costs in memory: on both sides, and in the kernel, where nobody's PSS has it. Pure.
use std::fmt;

/// Connections from which on a share of the whole says something of each: what a process needs besides is no more than a fraction.
const CONNECTIONS_MIN: usize = 1000;

/// Memory at one moment, bytes; `None`: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// PSS of all the server's processes.
    pub server: Option<u64>,
    /// PSS of the tool's own processes.
    pub own: Option<u64>,
    /// The kernel's, of all TCP sockets of the machine.
    pub tcp: Option<u64>,
}

/// What each connection costs, bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerConnection {
    /// Of so many.
    pub connections: usize,
    /// PSS of all the server's processes.
    pub server: Option<f64>,
    /// PSS of the tool's own.
    pub own: Option<f64>,
    /// The kernel's.
    pub tcp: Option<f64>,
}

impl PerConnection {
    /// What these connections have added; `None`: they are too few to say.
    pub fn of(before: Memory, after: Memory, connections: usize) -> Option<Self> {
        let each = |before: Option<u64>, after: Option<u64>| {
            Some((after? as f64 - before? as f64) / connections as f64)
        };
        (connections >= CONNECTIONS_MIN).then(|| Self {
            connections,
            server: each(before.server, after.server),
            own: each(before.own, after.own),
            tcp: each(before.tcp, after.tcp),
        })
    }
}

impl fmt::Display for PerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kb = |bytes: Option<f64>| match bytes {
            Some(bytes) => format!("{:.2} KB", bytes / 1024.0),
            None => "unknown".to_owned(),
        };
        write!(
            f,
            "memory of a connection, over {}: server {}, this tool {}, kernel TCP {}",
            self.connections,
            kb(self.server),
            kb(self.own),
            kb(self.tcp)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_no_connections() {
        let before = Memory {
            server: Some(1 << 20),
            own: Some(5 << 20),
            tcp: None,
        };
        let after = Memory {
            server: Some((1 << 20) + 1024 * 1536),
            own: Some(4 << 20),
            tcp: Some(9),
        };
        let text = PerConnection::of(before, after, 1024).unwrap().to_string();
        assert!(
            text.ends_with("over 1024: server 1.50 KB, this tool -1.00 KB, kernel TCP unknown"),
            "{text}"
        );
    }

    #[test]
    fn a_few_connections_say_nothing() {
        assert_eq!(
            PerConnection::of(Memory::default(), Memory::default(), CONNECTIONS_MIN - 1),
            None
        );
    }
}
