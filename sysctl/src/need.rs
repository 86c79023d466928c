//! What is needed, why, and how to get it.
//!
//! Owns one item for each limit, in the order in which connections meet them. Must not contain: how an item is shown (`report`).
//!
//! Every need is computed from the plan and from what things were measured to cost ([`cost`]).

use crate::cost;
use crate::machine::Machine;
use crate::memory::Holder;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::report::{bytes, grouped};
use serde::Serialize;

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// The node's.
    Server,
    /// The load generator's.
    Load,
    /// Of all that runs on the machine.
    Machine,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Enough.
    Ok,
    /// Not enough.
    Short,
    /// Enough, but so much that one peer could take what all need.
    Large,
    /// Cannot be seen from here.
    Unknown,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Files, packets, pages and whatever else the name says.
    Count,
    /// Bytes.
    Bytes,
}

/// One limit: what is, what is needed and why, how to change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Whose it is.
    pub of: Of,
    /// Its name; of a setting, as `sysctl` takes it.
    pub name: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What is; `None` where that cannot be seen, the largest number where there is no limit.
    pub is: Option<u64>,
    /// What is needed.
    pub needed: u64,
    /// What both count.
    pub unit: Unit,
    /// For what.
    pub why: String,
    /// How to change it.
    pub change: String,
    /// The profile that sets it.
    pub profile: Option<&'static str>,
}

/// All limits for a plan.
pub(crate) fn items(machine: &Machine, plan: &Plan) -> Vec<Item> {
    let mut items = Vec::new();
    if plan.ends.has_server() {
        items.extend(allowed(plan));
        items.extend([
            worker_files(machine, plan),
            accept_queue(machine, plan),
            half_open(machine, plan),
            orphans(machine, plan),
        ]);
    }
    if plan.ends.has_load() {
        items.extend([load_files(machine, plan), ports(machine, plan)]);
    }
    items.extend([
        highest_limit(machine, plan),
        all_files(machine, plan),
        processes(machine, plan),
        memory(machine, plan),
        tcp_memory(machine, plan),
        buffer(machine, plan, "net.ipv4.tcp_rmem"),
        buffer(machine, plan, "net.ipv4.tcp_wmem"),
        packets(machine, plan),
    ]);
    items.extend(tracked(machine, plan));
    items
}

/// How to set a number of open files, of a process started by hand or by systemd.
fn raise_files(files: u64) -> String {
    format!("ulimit -Hn {files}, or LimitNOFILE={files} in its systemd unit")
}

/// Against a number of which there must be at least so many.
fn enough(is: Option<u64>, needed: u64) -> Verdict {
    match is {
        None => Verdict::Unknown,
        Some(is) if is >= needed => Verdict::Ok,
        Some(_) => Verdict::Short,
    }
}

/// A setting of which the number at a place must be at least so large.
struct Setting {
    of: Of,
    name: &'static str,
    at: usize,
    needed: u64,
    why: String,
}

impl Setting {
    fn item(self, machine: &Machine, plan: &Plan) -> Item {
        let is = machine.setting(self.name, self.at);
        Item {
            of: self.of,
            name: self.name,
            verdict: enough(is, self.needed),
            is,
            needed: self.needed,
            unit: Unit::Count,
            why: self.why,
            change: format!("sysctl -w {}={}", self.name, self.needed),
            profile: profile_of(plan, self.name),
        }
    }
}

fn profile_of(plan: &Plan, name: &str) -> Option<&'static str> {
    let profile = Profile::of(plan.connections);
    profile.has(name).then_some(profile.path)
}

fn allowed(plan: &Plan) -> Option<Item> {
    let allowed = plan.allowed?;
    Some(Item {
        of: Of::Server,
        name: "connections configured",
        verdict: enough(Some(allowed), plan.connections),
        is: Some(allowed),
        needed: plan.connections,
        unit: Unit::Count,
        why: "workers times [worker] connections, at most node_connections".to_owned(),
        change: "more --workers, or [worker] connections and node_connections in the file"
            .to_owned(),
        profile: None,
    })
}

fn worker_files(machine: &Machine, plan: &Plan) -> Item {
    let needed = plan.per_worker() + cost::FILES_BESIDE;
    let files = machine.files;
    let hard = files.map(|files| files.hard);
    let per_process = hard.unwrap_or(0).saturating_sub(cost::FILES_BESIDE);
    let workers = plan.connections.div_ceil(per_process.max(1));
    let soft = files.map_or_else(String::new, |files| format!(" {}", grouped(files.soft)));
    let more = if workers <= cost::PROCESSES_MAX {
        format!("; or --workers {workers}")
    } else {
        String::new()
    };
    Item {
        of: Of::Server,
        name: "open files of a worker",
        verdict: enough(hard, needed),
        is: hard,
        needed,
        unit: Unit::Count,
        why: format!(
            "the hard limit (soft{soft}: raised by itself); {} connections on each of {}, and {}",
            grouped(plan.per_worker()),
            plan.workers,
            cost::FILES_BESIDE
        ),
        change: raise_files(needed) + &more,
        profile: None,
    }
}

fn load_files(machine: &Machine, plan: &Plan) -> Item {
    let hard = machine.files.map(|files| files.hard);
    let least = plan.connections.div_ceil(cost::PROCESSES_MAX) + cost::FILES_BESIDE;
    let processes = load_processes(machine, plan);
    Item {
        of: Of::Load,
        name: "open files of a load process",
        verdict: enough(hard, least),
        is: hard,
        needed: least,
        unit: Unit::Count,
        why: format!(
            "the hard limit: one per connection, and {}; it takes {processes} processes or more",
            cost::FILES_BESIDE
        ),
        change: raise_files(least),
        profile: None,
    }
}

/// How many processes the load generator needs.
fn load_processes(machine: &Machine, plan: &Plan) -> u64 {
    let hard = machine.files.map_or(u64::MAX, |files| files.hard);
    let per_process = hard.saturating_sub(cost::FILES_BESIDE).max(1);
    plan.connections
        .div_ceil(per_process)
        .min(cost::PROCESSES_MAX)
}

fn accept_queue(machine: &Machine, plan: &Plan) -> Item {
    Setting {
        of: Of::Server,
        name: "net.core.somaxconn",
        at: 0,
        needed: plan.connections.min(cost::BACKLOG),
        why: format!(
            "all may come back at once, and who finds the queue (at most {}) full waits 1 s",
            grouped(cost::BACKLOG)
        ),
    }
    .item(machine, plan)
}

fn half_open(machine: &Machine, plan: &Plan) -> Item {
    let item = Setting {
        of: Of::Server,
        name: "net.ipv4.tcp_max_syn_backlog",
        at: 0,
        needed: plan.connections.min(cost::BACKLOG),
        why: "the same storm half-way through its handshakes; no limit while tcp_syncookies is on"
            .to_owned(),
    }
    .item(machine, plan);
    match machine.setting("net.ipv4.tcp_syncookies", 0) {
        Some(1..) if item.verdict == Verdict::Short => Item {
            verdict: Verdict::Ok,
            ..item
        },
        _ => item,
    }
}

fn orphans(machine: &Machine, plan: &Plan) -> Item {
    Setting {
        of: Of::Server,
        name: "net.ipv4.tcp_max_orphans",
        at: 0,
        needed: plan.connections,
        why: "a node that is killed leaves all its sockets to the kernel; over this they are reset"
            .to_owned(),
    }
    .item(machine, plan)
}

fn ports(machine: &Machine, plan: &Plan) -> Item {
    let name = "net.ipv4.ip_local_port_range";
    let range = machine.setting(name, 0).zip(machine.setting(name, 1));
    let ports = range.map(|(first, last)| (last + 1).saturating_sub(first));
    let needed = plan.connections.min(cost::PER_SOURCE);
    Item {
        of: Of::Load,
        name,
        verdict: enough(ports, needed),
        is: ports,
        needed,
        unit: Unit::Count,
        why: format!(
            "ports; {} connections from one source address at most, so from {} or more",
            grouped(cost::PER_SOURCE),
            plan.connections.div_ceil(cost::PER_SOURCE)
        ),
        change: format!("sysctl -w '{name}=10240 65535'"),
        profile: profile_of(plan, name),
    }
}

fn highest_limit(machine: &Machine, plan: &Plan) -> Item {
    let worker = plan.per_worker() + cost::FILES_BESIDE;
    let load = plan.connections.div_ceil(load_processes(machine, plan)) + cost::FILES_BESIDE;
    let needed = match (plan.ends.has_server(), plan.ends.has_load()) {
        (true, true) => worker.max(load),
        (true, false) => worker,
        (false, _) => load,
    };
    Setting {
        of: Of::Machine,
        name: "fs.nr_open",
        at: 0,
        needed,
        why: "to this the limit of open files of a process can be raised".to_owned(),
    }
    .item(machine, plan)
}

fn all_files(machine: &Machine, plan: &Plan) -> Item {
    Setting {
        of: Of::Machine,
        name: "fs.file-max",
        at: 0,
        needed: plan.connections * plan.ends.count()
            + machine.setting("fs.file-nr", 0).unwrap_or(0)
            + cost::FILES_OF_OTHERS,
        why: format!(
            "open files of all: {} ends here, what is open now, and {} to spare",
            grouped(plan.connections * plan.ends.count()),
            grouped(cost::FILES_OF_OTHERS)
        ),
    }
    .item(machine, plan)
}

/// Processes of both programs, as far as they run here.
fn own_processes(machine: &Machine, plan: &Plan) -> u64 {
    let server = if plan.ends.has_server() {
        plan.workers + cost::PROCESSES_BESIDE
    } else {
        0
    };
    let load = if plan.ends.has_load() {
        load_processes(machine, plan) + 1
    } else {
        0
    };
    server + load
}

fn processes(machine: &Machine, plan: &Plan) -> Item {
    let needed = own_processes(machine, plan);
    Item {
        of: Of::Machine,
        name: "processes (pids.max)",
        verdict: enough(machine.processes, needed),
        is: machine.processes,
        needed,
        unit: Unit::Count,
        why: "what the control group still allows, against workers, roles and load processes"
            .to_owned(),
        change: format!(
            "TasksMax={} in its systemd unit, docker run --pids-limit",
            needed.next_power_of_two()
        ),
        profile: None,
    }
}

fn memory(machine: &Machine, plan: &Plan) -> Item {
    let kernel = cost::KERNEL_IDLE_BYTES + cost::PAGE_BYTES;
    let mut each = 0;
    let mut node = 0;
    if plan.ends.has_server() {
        each += cost::SERVER_BYTES + kernel;
        node = plan.budgets;
    }
    if plan.ends.has_load() {
        each += cost::LOAD_BYTES + kernel;
    }
    let processes = own_processes(machine, plan).saturating_mul(cost::PROCESS_BYTES);
    let needed = plan
        .connections
        .saturating_mul(each)
        .saturating_add(node)
        .saturating_add(processes);
    let of = match machine.memory.map(|memory| memory.of) {
        Some(Holder::Group) => " in the control group",
        _ => "",
    };
    Item {
        of: Of::Machine,
        name: "memory",
        verdict: enough(machine.memory.map(|memory| memory.bytes), needed),
        is: machine.memory.map(|memory| memory.bytes),
        needed,
        unit: Unit::Bytes,
        why: format!(
            "available{of}: {} a connection, mostly the kernel's; {} for log, rings, processes",
            bytes(each),
            bytes(node.saturating_add(processes))
        ),
        change: "a larger machine or group (MemoryMax=); --retain and ring_bytes lower the node's"
            .to_owned(),
        profile: None,
    }
}

fn tcp_memory(machine: &Machine, plan: &Plan) -> Item {
    let name = "net.ipv4.tcp_mem";
    let needed = plan.connections * plan.ends.count();
    let item = Setting {
        of: Of::Machine,
        name,
        at: 2,
        needed,
        why: format!(
            "pages of {} B (the third): one for each end in whose queue anything waits",
            cost::PAGE_BYTES
        ),
    }
    .item(machine, plan);
    Item {
        change: format!(
            "sysctl -w '{name}={} {} {needed}'",
            needed / 2,
            needed / 4 * 3
        ),
        ..item
    }
}

/// The largest buffer of one connection: enough for a far client, and not so much that those who stand still take what all need.
fn buffer(machine: &Machine, plan: &Plan, name: &'static str) -> Item {
    let is = machine.setting(name, 2);
    let standing = (plan.connections / cost::STANDING_STILL).max(1);
    let half = machine.setting("net.ipv4.tcp_mem", 2).unwrap_or(u64::MAX) / 2;
    let most = half.saturating_mul(cost::PAGE_BYTES) / standing;
    let most = most.max(cost::BUFFER_BYTES);
    let verdict = match (enough(is, cost::BUFFER_BYTES), is) {
        (Verdict::Ok, Some(is)) if is > most => Verdict::Large,
        (verdict, _) => verdict,
    };
    Item {
        of: Of::Machine,
        name,
        verdict,
        is,
        needed: cost::BUFFER_BYTES,
        unit: Unit::Bytes,
        why: format!(
            "20 Mbit/s at 100 ms; at most {}, lest 1 in {} take half of tcp_mem",
            bytes(most),
            cost::STANDING_STILL
        ),
        change: format!(
            "sysctl -w '{name}=4096 16384 {}'",
            most.clamp(cost::BUFFER_BYTES, 1 << 20)
        ),
        profile: profile_of(plan, name),
    }
}

fn packets(machine: &Machine, plan: &Plan) -> Item {
    Setting {
        of: Of::Machine,
        name: "net.core.netdev_max_backlog",
        at: 0,
        needed: (plan.connections / cost::CLOSED_PER_PACKET).clamp(1000, cost::PACKETS_MAX),
        why: "packets waiting for a core: closing all at once on loopback overflowed 1,000"
            .to_owned(),
    }
    .item(machine, plan)
}

/// Connection tracking, where it is loaded.
fn tracked(machine: &Machine, plan: &Plan) -> Option<Item> {
    let name = "net.netfilter.nf_conntrack_max";
    machine.setting(name, 0)?;
    let item = Setting {
        of: Of::Machine,
        name,
        at: 0,
        needed: plan.connections.saturating_mul(2),
        why: "an entry per connection, kept two minutes longer; full, it drops every new one"
            .to_owned(),
    };
    Some(item.item(machine, plan))
}
