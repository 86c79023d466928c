//! What the profiles promise: on a machine of a fitting size, with its kernel's own settings else, nothing is short; without the
//! profile, just what it sets is.

use pubsub_sysctl::need::{Item, Verdict};
use pubsub_sysctl::profile::{PROFILES, Profile};
use pubsub_sysctl::{Ends, Form, Machine, Plan, Report, check};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A machine as the kernel sets itself up for so much memory (Linux 6.x), with a hard limit of open files that systemd gives.
struct Fake {
    root: TempDir,
}

impl Fake {
    fn of_gib(gib: u64) -> Self {
        let fake = Self {
            root: TempDir::new().unwrap(),
        };
        let kib = gib << 20;
        let pages = kib / 4;
        let pressure = pages / 16;
        fake.put(
            "proc/meminfo",
            &format!("MemTotal: {kib} kB\nMemAvailable: {} kB\n", kib / 10 * 9),
        );
        fake.put(
            "proc/self/limits",
            "Max open files            1024                 524288               files\n",
        );
        fake.put("proc/self/cgroup", "0::/\n");
        fake.set("fs.file-max", &(kib / 10).to_string());
        fake.set("fs.file-nr", "1500\t0\t1000000");
        fake.set("fs.nr_open", "1048576");
        fake.set("net.core.netdev_max_backlog", "1000");
        fake.set("net.core.somaxconn", "4096");
        fake.set("net.ipv4.ip_local_port_range", "32768\t60999");
        fake.set(
            "net.ipv4.tcp_max_orphans",
            &(pages / 48).min(262_144).to_string(),
        );
        fake.set("net.ipv4.tcp_max_syn_backlog", "2048");
        fake.set(
            "net.ipv4.tcp_mem",
            &format!("{}\t{pressure}\t{}", pressure / 4 * 3, pressure / 2 * 3),
        );
        fake.set("net.ipv4.tcp_rmem", "4096\t131072\t33554432");
        fake.set("net.ipv4.tcp_syncookies", "0");
        fake.set("net.ipv4.tcp_wmem", "4096\t16384\t4194304");
        fake.set("net.netfilter.nf_conntrack_max", "262144");
        fake
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn set(&self, name: &str, value: &str) {
        self.put(&format!("proc/sys/{}", name.replace('.', "/")), value);
    }

    fn apply(&self, profile: Profile) {
        for (name, value) in profile.settings() {
            self.set(name, value);
        }
    }

    fn checked(&self, connections: u64, workers: u64) -> Report {
        let plan = Plan::usual(connections, Ends::Both, workers);
        check(&Machine::look(self.root.path()), &plan)
    }
}

fn names(report: &Report, verdict: Verdict) -> Vec<&'static str> {
    let items = report.items.iter();
    items
        .filter(|item| item.verdict == verdict)
        .map(|item| item.name)
        .collect()
}

fn item<'a>(report: &'a Report, name: &str) -> &'a Item {
    let found = report.items.iter().find(|item| item.name == name);
    found.unwrap_or_else(|| panic!("no item {name}"))
}

#[test]
fn with_its_profile_a_machine_of_fitting_size_is_short_of_nothing() {
    for (profile, gib, workers) in [
        (PROFILES[0], 4, 2),
        (PROFILES[1], 8, 8),
        (PROFILES[2], 32, 52),
    ] {
        let fake = Fake::of_gib(gib);
        let without = fake.checked(profile.connections, workers);
        let short = names(&without, Verdict::Short);
        assert!(
            short.contains(&"net.core.somaxconn"),
            "{}: {short:?}",
            profile.path
        );
        for name in short {
            let sets = item(&without, name).profile;
            assert_eq!(
                sets,
                Some(profile.path),
                "{name} is short and no profile has it"
            );
        }
        fake.apply(profile);
        let with = fake.checked(profile.connections, workers);
        assert!(
            with.fits && with.shortage().is_none(),
            "{}",
            with.text(Form::Table)
        );
        let odd = [Verdict::Large, Verdict::Unknown].map(|verdict| names(&with, verdict));
        assert!(odd.iter().all(Vec::is_empty), "{}: {odd:?}", profile.path);
    }
}

#[test]
fn each_limit_that_is_too_low_is_named_with_what_to_do() {
    let low = [
        (
            "net.core.somaxconn",
            "128",
            "sysctl -w net.core.somaxconn=10000",
        ),
        (
            "net.ipv4.tcp_max_syn_backlog",
            "128",
            "sysctl -w net.ipv4.tcp_max_syn_backlog=10000",
        ),
        (
            "net.ipv4.tcp_max_orphans",
            "4096",
            "sysctl -w net.ipv4.tcp_max_orphans=10000",
        ),
        (
            "net.ipv4.ip_local_port_range",
            "40000 45000",
            "sysctl -w 'net.ipv4.ip_local_port_range=10240 65535'",
        ),
        ("fs.nr_open", "4096", "sysctl -w fs.nr_open=10064"),
        ("fs.file-max", "20000", "sysctl -w fs.file-max=25596"),
        (
            "net.ipv4.tcp_mem",
            "100 200 300",
            "sysctl -w 'net.ipv4.tcp_mem=10000 15000 20000'",
        ),
        (
            "net.ipv4.tcp_wmem",
            "4096 16384 65536",
            "sysctl -w 'net.ipv4.tcp_wmem=4096 16384 1048576'",
        ),
        (
            "net.core.netdev_max_backlog",
            "1000",
            "sysctl -w net.core.netdev_max_backlog=2500",
        ),
        (
            "net.netfilter.nf_conntrack_max",
            "8192",
            "sysctl -w net.netfilter.nf_conntrack_max=20000",
        ),
    ];
    for (name, value, change) in low {
        let fake = Fake::of_gib(4);
        fake.apply(PROFILES[0]);
        fake.set("net.ipv4.tcp_syncookies", "0");
        fake.set(name, value);
        let report = fake.checked(10_000, 2);
        assert_eq!(names(&report, Verdict::Short), [name]);
        assert_eq!(item(&report, name).change, change);
        assert!(
            report
                .shortage()
                .is_some_and(|line| line.contains(name) && !line.contains('\n'))
        );
    }
}

#[test]
fn open_files_memory_and_processes_are_held_against_their_limits() {
    let fake = Fake::of_gib(8);
    fake.apply(PROFILES[1]);
    fake.put(
        "proc/self/limits",
        "Max open files            1024                 20000                files\n",
    );
    fake.put("sys/fs/cgroup/pids.max", "25\n");
    fake.put("sys/fs/cgroup/memory.max", "1000000000\n");
    let report = fake.checked(100_000, 2);
    assert_eq!(
        names(&report, Verdict::Short),
        ["open files of a worker", "processes (pids.max)", "memory"]
    );
    let files = item(&report, "open files of a worker");
    assert_eq!((files.is, files.needed), (Some(20_000), 50_064));
    assert!(
        files.change.contains("LimitNOFILE=50064") && files.change.contains("--workers 6"),
        "{files:?}"
    );
    assert!(
        item(&report, "open files of a load process")
            .why
            .contains("6 processes")
    );
}

#[test]
fn only_the_ends_that_are_here_are_asked_about() {
    let fake = Fake::of_gib(8);
    let of = |ends| {
        let report = check(
            &Machine::look(fake.root.path()),
            &Plan::usual(10_000, ends, 2),
        );
        let names: Vec<_> = report.items.iter().map(|item| item.name).collect();
        (names, item(&report, "net.ipv4.tcp_mem").needed)
    };
    let (server, one_end) = of(Ends::Server);
    let (load, _) = of(Ends::Load);
    let (both, two_ends) = of(Ends::Both);
    assert!(
        server.contains(&"net.core.somaxconn") && !server.contains(&"net.ipv4.ip_local_port_range")
    );
    assert!(
        load.contains(&"net.ipv4.ip_local_port_range") && !load.contains(&"net.core.somaxconn")
    );
    assert!(server.iter().chain(&load).all(|name| both.contains(name)));
    assert_eq!((one_end, two_ends), (10_000, 20_000));
}

#[test]
fn what_cannot_be_read_is_unknown_and_not_held_against_the_machine() {
    let nothing = TempDir::new().unwrap();
    let report = check(
        &Machine::look(nothing.path()),
        &Plan::usual(10_000, Ends::Both, 2),
    );
    assert!(report.fits);
    assert!(
        report
            .items
            .iter()
            .all(|item| item.verdict == Verdict::Unknown && item.is.is_none())
    );
    assert!(
        !report
            .items
            .iter()
            .any(|item| item.name.contains("conntrack")),
        "it is not loaded"
    );
}

#[test]
fn half_open_connections_have_no_limit_while_cookies_are_on() {
    let fake = Fake::of_gib(4);
    let name = "net.ipv4.tcp_max_syn_backlog";
    assert_eq!(item(&fake.checked(10_000, 2), name).verdict, Verdict::Short);
    fake.set("net.ipv4.tcp_syncookies", "1");
    assert_eq!(item(&fake.checked(10_000, 2), name).verdict, Verdict::Ok);
}

#[test]
fn buffers_that_the_slow_could_fill_all_of_tcps_memory_with_are_large_and_no_shortage() {
    let fake = Fake::of_gib(4);
    fake.apply(PROFILES[0]);
    fake.set("net.ipv4.tcp_wmem", "4096 16384 33554432");
    let report = fake.checked(10_000, 2);
    assert_eq!(names(&report, Verdict::Large), ["net.ipv4.tcp_wmem"]);
    assert!(report.fits);
    assert!(
        report
            .text(Form::Table)
            .contains("> sysctl -w 'net.ipv4.tcp_wmem=")
    );
}

#[test]
fn the_table_is_readable_in_a_hundred_columns_whatever_is_asked() {
    for connections in [1, 10_000, 1_000_000, u64::from(u32::MAX)] {
        for fake in [Fake::of_gib(1), Fake::of_gib(64)] {
            let report = fake.checked(connections, 52);
            let text = report.text(Form::Table);
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{line}");
                assert_eq!(line, line.trim_end());
            }
            for item in &report.items {
                assert!(text.contains(item.name));
            }
        }
    }
}

#[test]
fn the_json_says_the_same_as_the_table() {
    let report = Fake::of_gib(4).checked(10_000, 2);
    let json: serde_json::Value = serde_json::from_str(&report.text(Form::Json)).unwrap();
    assert_eq!((&json["schema"], &json["fits"]), (&1.into(), &false.into()));
    assert_eq!(json["profile"], "sysctl/10k.conf");
    let items = json["items"].as_array().unwrap();
    assert_eq!(items.len(), report.items.len());
    assert!(items.iter().any(|item| item["name"] == "net.core.somaxconn"
        && item["verdict"] == "short"
        && item["is"] == 4096
        && item["profile"] == "sysctl/10k.conf"));
}

#[test]
fn every_setting_of_a_profile_is_one_of_this_kernel() {
    for (name, _) in PROFILES.iter().flat_map(Profile::settings) {
        let file = Path::new("/proc/sys").join(name.replace('.', "/"));
        // Loaded only where somebody tracks connections.
        assert!(
            name.starts_with("net.netfilter.") || file.exists(),
            "this kernel has no {name}"
        );
    }
}
