//! What connections subscribe to, and which of them read slowly.
use super::{Slow, settings, slow};
use crate::failure::Failure;
use crate::swarm::Subscription;
use clap::Args;

#[derive(Debug, Clone, Args)]
pub(super) struct SubscriberArgs {
    /// Topic or pattern that each connection subscribes to
    #[arg(long, default_value = "execs")]
    topic: String,
    /// Further fields of subscribe, as a JSON object: from, rate, batch, bound, overflow, credit. Several are dealt out to the
    /// connections in turn. Credit is given again whenever half of it is used
    #[arg(long, value_name = "JSON")]
    settings: Vec<String>,
    /// Let a share of each step's connections read slowly once they have subscribed: 5%:stall (nothing),
    /// 1%:read=2KB/s (at most that much), 1%:pause=5s (nothing for 5 s, then all there is for 5 s, in turn). They have a small
    /// receive buffer, so that the kernel does not hide it from the server: 4 KiB, 32 KiB where they pause, and what they
    /// read in 0.2 s where that is more. For several groups give it several times
    #[arg(long, value_name = "SHARE:WHAT")]
    slow: Vec<Slow>,
}

impl SubscriberArgs {
    pub(super) fn meant(self) -> Result<(Vec<Subscription>, Vec<Slow>), Failure> {
        let subscriptions = settings::subscriptions(&self.topic, &self.settings)?;
        Ok((subscriptions, slow::checked(self.slow)?))
    }
}
