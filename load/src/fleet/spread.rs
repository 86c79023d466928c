//! Over how many processes a run is spread, and why. Pure.
use crate::swarm::SwarmError;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Connections that one process serves without need for another where there are cores for more.
const COMFORTABLE: usize = 20_000;

/// Processes at most.
pub const PROCESSES_MAX: usize = 1024;

/// How many processes are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Processes {
    /// As many as limits and cores want.
    #[default]
    Auto,
    /// So many.
    Exactly(NonZeroUsize),
}

impl FromStr for Processes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse::<NonZeroUsize>() {
            Ok(n) if n.get() <= PROCESSES_MAX => Ok(Self::Exactly(n)),
            _ => Err(format!(
                "{text:?}: expected auto or a number from 1 to {PROCESSES_MAX}"
            )),
        }
    }
}

/// What this machine gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Connections that one process may have.
    pub possible: usize,
    /// The hard limit of open files that this follows from.
    pub limit: u64,
    /// Cores.
    pub cores: usize,
}

/// How a run is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Processes.
    pub processes: usize,
    /// What the limit of open files has to do with it.
    pub files: Files,
}

/// Whether the limit of open files decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// There would be as many without it.
    Suffice,
    /// There are more because of it.
    Decide {
        /// The hard limit.
        limit: u64,
    },
}

impl Spread {
    /// Spreads so many connections.
    pub fn of(connections: usize, asked: Processes, machine: Machine) -> Result<Self, SwarmError> {
        let possible = machine.possible;
        let needed = connections.div_ceil(possible.max(1)).max(1);
        let wanted = connections
            .div_ceil(COMFORTABLE)
            .clamp(1, machine.cores.max(1));
        let too_few = |processes: usize| SwarmError::Files {
            wanted: connections,
            processes,
            possible: processes.saturating_mul(possible),
            limit: machine.limit,
        };
        match asked {
            Processes::Exactly(n) if needed > n.get() => Err(too_few(n.get())),
            Processes::Auto if needed > PROCESSES_MAX || possible == 0 => {
                Err(too_few(PROCESSES_MAX))
            }
            Processes::Exactly(n) => Ok(Self {
                processes: n.get().min(connections.max(1)),
                files: Files::Suffice,
            }),
            Processes::Auto => Ok(Self {
                processes: needed.max(wanted),
                files: if needed > wanted {
                    Files::Decide {
                        limit: machine.limit,
                    }
                } else {
                    Files::Suffice
                },
            }),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.processes, self.files) {
            (1, _) => write!(f, "one process"),
            (n, Files::Suffice) => write!(f, "{n} processes"),
            (n, Files::Decide { limit }) => write!(
                f,
                "{n} processes, since each may have {limit} open files (fewer would do with a higher limit: LimitNOFILE= of the unit, \
                 nofile in /etc/security/limits.conf)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(
        connections: usize,
        asked: &str,
        possible: usize,
        cores: usize,
    ) -> Result<usize, String> {
        let machine = Machine {
            possible,
            limit: possible as u64 + 64,
            cores,
        };
        Spread::of(connections, asked.parse().unwrap(), machine)
            .map(|spread| spread.processes)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_small_run_is_one_process() {
        assert_eq!(spread(10_000, "auto", 19_936, 8), Ok(1));
        assert_eq!(spread(0, "auto", 19_936, 8), Ok(1));
    }

    #[test]
    fn a_large_run_has_a_process_for_each_core_it_can_use() {
        assert_eq!(spread(100_000, "auto", 1_000_000, 2), Ok(2));
        assert_eq!(spread(100_000, "auto", 1_000_000, 16), Ok(5));
    }

    #[test]
    fn the_limit_of_open_files_makes_more_of_them() {
        assert_eq!(spread(1_000_000, "auto", 19_936, 2), Ok(51));
        assert_eq!(spread(100, "auto", 10, 2), Ok(10));
    }

    #[test]
    fn what_is_asked_for_is_done_or_refused_with_what_would_do() {
        assert_eq!(spread(100, "4", 1000, 1), Ok(4));
        assert_eq!(spread(3, "8", 1000, 1), Ok(3), "none would be idle");
        let error = spread(100, "4", 10, 1).unwrap_err();
        assert!(
            error.contains("ask for at most 40") && !error.contains('\n'),
            "{error}"
        );
        assert!(spread(usize::MAX, "auto", 10, 1).is_err());
        assert!(spread(1, "auto", 0, 1).is_err());
    }

    #[test]
    fn what_is_no_number_of_processes_says_what_would_be() {
        for text in ["0", "-1", "many", "1025", ""] {
            let error = text.parse::<Processes>().unwrap_err();
            assert!(error.contains("expected auto or a number"), "{error}");
        }
    }

    #[test]
    fn a_limit_that_decides_is_named_with_how_to_raise_it() {
        let machine = Machine {
            possible: 19_936,
            limit: 20_000,
            cores: 2,
        };
        let spread = Spread::of(100_000, Processes::Auto, machine).unwrap();
        let text = spread.to_string();
        assert!(text.starts_with("6 processes, since each may have 20000 open files"));
        assert!(text.contains("LimitNOFILE="), "{text}");
    }
}
