//! What the record of a run begins with: what is asked, the machine, who takes part. Read once, before the first connection.
use crate::args::Ramp as Asked;
use crate::record::recorder::Beginning;
use crate::record::{self, Versions};
use crate::swarm::Subscription;
use crate::target::Target;
use crate::{clock, machine, node};

/// What the record of a run begins with.
pub(super) fn beginning(asked: &Asked, server: Option<u32>) -> Beginning {
    let node = server.and_then(node::of);
    let (server, node) = node.map(|node| (node.version, node.node)).unzip();
    let url = |target: &Target| format!("ws://{}{}", target.host, target.path);
    let subscription = |of: &Subscription| record::Subscription {
        topic: of.topic.clone(),
        settings: of.settings.clone(),
    };
    Beginning {
        command: asked.told.command.clone(),
        wall_us: clock::wall_us(),
        asked: record::Asked {
            urls: asked.targets.iter().map(url).collect(),
            subscriptions: asked.subscriptions.iter().map(subscription).collect(),
            method: asked
                .calls
                .as_ref()
                .map(|calls| calls.method.name().to_owned()),
            clients: asked.plan.max as u64,
            duration_s: asked.plan.duration().as_secs_f64(),
        },
        machine: machine::machine(),
        limits: machine::limits(),
        versions: Versions {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            server,
            node,
        },
    }
}
