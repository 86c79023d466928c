//! What all who take part in a run share: where the node is, how far publications have come, whether it is over.
//!
//! Must not contain: what anybody does about it. Changed by who strikes and by the publishers, awaited by all.
use super::harness::{Socket, looks, within_patience};
use std::net::SocketAddr;
use tokio::sync::watch;

/// What is known of the run at a moment.
#[derive(Debug)]
pub(crate) struct State {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Publications acknowledged, by publisher.
    pub(crate) acknowledged: Vec<u64>,
    /// Each publisher waits when so many of its own are acknowledged or under way.
    pub(crate) allowed: u64,
    /// Nobody is killed any more: who publishes comes to an end.
    pub(crate) has_ended: bool,
}

impl State {
    /// All publications acknowledged.
    pub(crate) fn sum(&self) -> u64 {
        self.acknowledged.iter().sum()
    }
}

/// See the module.
pub(crate) struct Stage {
    state: watch::Sender<State>,
    /// The log's: it never changes, whoever dies.
    pub(crate) epoch: String,
}

impl Stage {
    /// For so many publishers, none of which may publish yet.
    pub(crate) fn new(address: SocketAddr, epoch: String, publishers: usize) -> Self {
        let state = watch::Sender::new(State {
            address,
            acknowledged: vec![0; publishers],
            allowed: 0,
            has_ended: false,
        });
        Self { state, epoch }
    }

    /// What is known now.
    pub(crate) fn now(&self) -> watch::Ref<'_, State> {
        self.state.borrow()
    }

    /// Lets all know of a change.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl FnMut(&State) -> bool) {
        let mut changes = self.state.subscribe();
        let reached = within_patience(what, changes.wait_for(holds)).await;
        drop(reached.expect("it lives as long as the run"));
    }

    /// A connection to the node, as soon as there is one that serves.
    pub(crate) async fn connect(&self, receive_buffer: Option<u32>) -> Socket {
        let mut looks = looks();
        let connected = async {
            loop {
                looks.tick().await;
                let address = self.now().address;
                // Its future is large, and many wait here.
                let reaching = Box::pin(Socket::reach(address, receive_buffer));
                if let Some(socket) = reaching.await {
                    return socket;
                }
            }
        };
        within_patience("a node to connect to", connected).await
    }
}
