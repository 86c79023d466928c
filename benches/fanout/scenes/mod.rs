//! The scenarios. Each starts what it needs and stops it again.
mod answers;
mod beside;
mod catch_up;
mod ceiling;
mod conflate;
mod connects;
mod durable;
mod generator;
mod hub;
mod idle;
mod logs;
mod memory;
mod pairs;
mod sample;
mod send_queue;
mod slow;
mod spilled;
mod stalled;

use crate::Asked;
use crate::report::Findings;
use pairs::Load;

/// One scenario.
pub struct Scene {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn(&Asked) -> Result<Findings, String>,
}

/// All of them.
pub const ALL: &[Scene] = &[
    Scene {
        name: "generator",
        what: "what the subscribers' side itself costs and can take, without a server",
        run: generator::run,
    },
    Scene {
        name: "light-1000x50",
        what: "1,000 subscribers, 50 messages a second each: CPU per message beside the floor",
        run: |asked| pairs::run(asked, 1000, 50.0, Load::Light),
    },
    Scene {
        name: "light-10000x5",
        what: "10,000 subscribers, 5 messages a second each: CPU per message beside the floor",
        run: |asked| pairs::run(asked, 10_000, 5.0, Load::Light),
    },
    Scene {
        name: "flood-10000x200",
        what: "10,000 subscribers, 200 messages a second each: two million a second",
        run: |asked| pairs::run(asked, 10_000, 200.0, Load::Flood),
    },
    Scene {
        name: "flood-1000x2000",
        what: "1,000 subscribers, 2,000 messages a second each: two million a second",
        run: |asked| pairs::run(asked, 1000, 2000.0, Load::Flood),
    },
    Scene {
        name: "ceiling",
        what: "the highest rate to 10,000 at which nothing is lost and p99 is under 200 ms",
        run: ceiling::run,
    },
    Scene {
        name: "idle-memory",
        what: "10,000 subscribed connections without a message: growth of the tree's PSS",
        run: memory::idle,
    },
    Scene {
        name: "own-topics",
        what: "10,000 subscribers each on a topic of its own, one message a second each",
        run: memory::own_topics,
    },
    Scene {
        name: "hub-100k",
        what: "100,000 publications a second, 10 workers, few subscribers",
        run: hub::run,
    },
    Scene {
        name: "slow",
        what: "1,000 subscribers, in every other phase 10 stopped, 10 at 2 KB/s, 10 pausing 5 s: what the others notice",
        run: slow::run,
    },
    Scene {
        name: "sample",
        what: "10,000 subscribers: sample 100 ms of 1,000/s beside a plain 10/s, and 100 different samples beside one",
        run: sample::run,
    },
    Scene {
        name: "conflate",
        what: "1,000 who conflate and read a tenth: CPU per publication by keys changed and by lag",
        run: conflate::run,
    },
    Scene {
        name: "stalled-memory",
        what: "10,000 who have stopped reading, 2,000/s for --stall: memory of each, by policy",
        run: stalled::run,
    },
    Scene {
        name: "stalled-at-once",
        what: "the same, who stop when the 2,000/s begin: what filling all sockets at once leaves behind is in it",
        run: stalled::at_once,
    },
    Scene {
        name: "send-queue",
        what: "what the kernel holds for one that stopped, freshness and throughput, by send buffer and unsent bytes",
        run: send_queue::run,
    },
    Scene {
        name: "answers",
        what: "ping, ledger and publish on a connection whose data lane is full, beside an idle one",
        run: answers::run,
    },
    Scene {
        name: "balance",
        what: "5,000 connections over 10 workers: the fullest beside the mean",
        run: connects::balance,
    },
    Scene {
        name: "upgrades",
        what: "upgrades a second of one worker and what each costs",
        run: connects::upgrades,
    },
    Scene {
        name: "idle-node",
        what: "10 workers with nothing to do: memory, CPU, wake-ups",
        run: idle::run,
    },
    Scene {
        name: "durable-publish",
        what: "64 who publish one at a time, acknowledged: log on disk beside log in memory",
        run: durable::run,
    },
    Scene {
        name: "catch-up",
        what: "one who spilled reads 500 MB: log on disk beside log in memory",
        run: catch_up::run,
    },
    Scene {
        name: "catch-up-beside",
        what: "1,000 live, in every other phase 100 who read 500 MB from the disk: what the live notice",
        run: beside::run,
    },
    Scene {
        name: "spilled-memory",
        what: "1,000 who have stopped reading and spill to the disk, 1 GB published: memory beside the same with one",
        run: spilled::run,
    },
];
