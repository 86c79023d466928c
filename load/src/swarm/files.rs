//! How many connections this process may have.
use super::error::SwarmError;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are not connections: the loop's, the terminal's, reports, what `/proc` is read through.
const OTHERS: usize = 64;

/// What the limit of open files leaves for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Possible {
    /// Connections.
    pub connections: usize,
    /// The limit that this follows from.
    pub limit: u64,
}

/// Raises the limit of open files as far as it may be; what is possible then, for a process of this user that does the same.
pub fn possible() -> Possible {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // What cannot be raised is found by whoever compares.
        let _ = setrlimit(Resource::Nofile, limit);
        limit = getrlimit(Resource::Nofile);
    }
    let files = limit.current.unwrap_or(u64::MAX);
    Possible {
        connections: usize::try_from(files)
            .unwrap_or(usize::MAX)
            .saturating_sub(OTHERS),
        limit: files,
    }
}

/// Raises the limit of open files as far as it may be and checks that `wanted` connections fit under it.
pub fn reserve(wanted: usize) -> Result<(), SwarmError> {
    let Possible { connections, limit } = possible();
    if wanted > connections {
        return Err(SwarmError::Files {
            wanted,
            processes: 1,
            possible: connections,
            limit,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_possible_says_what_is() {
        let Err(error) = reserve(usize::MAX) else {
            panic!("no limit at all")
        };
        let text = error.to_string();
        assert!(
            text.contains("ask for at most") && !text.contains('\n'),
            "{text}"
        );
    }

    #[test]
    fn a_few_are_possible() {
        reserve(10).unwrap();
    }
}
