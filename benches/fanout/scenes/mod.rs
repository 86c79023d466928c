//! The scenarios. Each starts what it needs and stops it again.
mod generator;
mod pairs;

use crate::Asked;
use crate::report::Findings;

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
        run: |asked| pairs::run(asked, 1000, 50.0),
    },
    Scene {
        name: "light-10000x5",
        what: "10,000 subscribers, 5 messages a second each: CPU per message beside the floor",
        run: |asked| pairs::run(asked, 10_000, 5.0),
    },
    Scene {
        name: "flood-10000x200",
        what: "10,000 subscribers, 200 messages a second each: two million a second",
        run: |asked| pairs::run(asked, 10_000, 200.0),
    },
    Scene {
        name: "flood-1000x2000",
        what: "1,000 subscribers, 2,000 messages a second each: two million a second",
        run: |asked| pairs::run(asked, 1000, 2000.0),
    },
];
