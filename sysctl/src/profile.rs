//! The profiles: files of settings beside this crate, one for each size of a node.
//!
//! Owns which profile is for how many connections, and reading one. Must not contain: what is needed.

/// Settings for a node of some size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Up to so many connections.
    pub connections: u64,
    /// Where it is in the project.
    pub path: &'static str,
    text: &'static str,
}

/// All there are, smallest first.
pub const PROFILES: [Profile; 3] = [
    Profile {
        connections: 10_000,
        path: "sysctl/10k.conf",
        text: include_str!("../10k.conf"),
    },
    Profile {
        connections: 100_000,
        path: "sysctl/100k.conf",
        text: include_str!("../100k.conf"),
    },
    Profile {
        connections: 1_000_000,
        path: "sysctl/1m.conf",
        text: include_str!("../1m.conf"),
    },
];

impl Profile {
    /// The smallest that is for so many connections; past all, the largest.
    pub fn of(connections: u64) -> Self {
        let fits = |profile: &&Profile| profile.connections >= connections;
        let largest = PROFILES[PROFILES.len() - 1];
        PROFILES.iter().find(fits).copied().unwrap_or(largest)
    }

    /// Its settings in order: name and numbers. A line that begins with `-` is for a setting that may not be there.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, value)| (name.trim_start_matches('-'), value))
    }

    /// Whether it sets this.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.settings().any(|(own, _)| own == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_comment_or_a_setting_with_its_reason_above_it() {
        for profile in PROFILES {
            let lines: Vec<&str> = profile.text.lines().collect();
            let mut settings = 0;
            for pair in lines.windows(2) {
                let (above, line) = (pair[0], pair[1]);
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                settings += 1;
                let (_, value) = line.split_once(" = ").unwrap_or_else(|| {
                    panic!("{}: {line:?} is no setting", profile.path);
                });
                assert!(
                    value.split(' ').all(|number| number.parse::<u64>().is_ok()),
                    "{line:?}"
                );
                assert!(
                    above.starts_with("# ") && above.len() > 40,
                    "no reason above {line:?}"
                );
            }
            assert_eq!(settings, profile.settings().count(), "{}", profile.path);
            assert!(settings >= 8, "{}: {settings} settings", profile.path);
        }
    }

    #[test]
    fn the_smallest_that_is_enough_is_chosen() {
        let path = |connections| Profile::of(connections).path;
        assert_eq!(path(1), "sysctl/10k.conf");
        assert_eq!(path(10_000), "sysctl/10k.conf");
        assert_eq!(path(10_001), "sysctl/100k.conf");
        assert_eq!(path(1_000_000), "sysctl/1m.conf");
        assert_eq!(path(5_000_000), "sysctl/1m.conf");
    }
}
