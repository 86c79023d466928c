//! A tree of processes, grouped by what they do. Pure.
use super::line::Role;
use crate::measure::{Process, Sample};

/// Roles told apart: a server has few, whatever else is in its tree is counted together.
const ROLES_MAX: usize = 8;

/// What the processes of a sample cost since an earlier one, `seconds` before it.
pub fn roles(earlier: &Sample, now: &Sample, seconds: f64) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    for process in &now.processes {
        let name = name(process);
        let at = roles.iter().position(|role| role.role == name);
        let at = at.unwrap_or_else(|| {
            if roles.len() <= ROLES_MAX {
                let last = roles.len() == ROLES_MAX;
                let role = if last { "others" } else { name }.to_owned();
                roles.push(Role {
                    role,
                    ..Role::default()
                });
            }
            roles.len() - 1
        });
        let role = &mut roles[at];
        let spent = process
            .cpu_ns
            .saturating_sub(earlier.cpu_ns_of(process.pid));
        role.processes += 1;
        role.cores += spent as f64 / 1e9 / seconds;
        role.pss_bytes += process.pss_bytes;
    }
    roles
}

fn name(process: &Process) -> &str {
    process.role.strip_prefix("role ").unwrap_or(&process.role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, role: &str, cpu_ns: u64) -> Process {
        Process {
            pid,
            role: role.to_owned(),
            cpu_ns,
            starved_ns: 0,
            pss_bytes: 100,
            waits: 0,
        }
    }

    fn sample(processes: Vec<Process>) -> Sample {
        Sample { processes }
    }

    #[test]
    fn processes_that_do_the_same_are_added_up() {
        let earlier = sample(vec![process(2, "role worker", 1_000_000_000)]);
        let now = sample(vec![
            process(1, "pubsub-server", 0),
            process(2, "role worker", 2_000_000_000),
            process(3, "role worker", 3_000_000_000),
        ]);
        let roles = roles(&earlier, &now, 2.0);
        let told: Vec<_> = roles
            .iter()
            .map(|role| (role.role.as_str(), role.processes, role.pss_bytes))
            .collect();
        assert_eq!(told, [("pubsub-server", 1, 100), ("worker", 2, 200)]);
        assert!((roles[1].cores - 2.0).abs() < 1e-9, "{roles:?}");
    }

    #[test]
    fn a_tree_of_anything_has_a_limited_number_of_roles() {
        let processes = (0..100).map(|pid| process(pid, &format!("p{pid}"), 0));
        let now = sample(processes.collect());
        let roles = roles(&Sample::default(), &now, 1.0);
        assert_eq!(roles.len(), ROLES_MAX + 1);
        assert_eq!((roles[8].role.as_str(), roles[8].processes), ("others", 92));
    }
}
