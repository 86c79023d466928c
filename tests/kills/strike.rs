//! Who is killed, and when: drawn from a seed, carried out while the others work.
//!
//! Owns the node. A round ends when every publisher has been acknowledged again.
use super::harness::{Node, pid_of, worker};
use super::stage::{Stage, State};
use fastrand::Rng;
use rustix::process::Signal;
use std::path::Path;

/// Publications that each publisher may make in a round before the next begins.
const PUBLICATIONS: u64 = 1500;
/// And so many more once the node is well again.
const MORE: u64 = 100;
const WORKERS: u64 = 2;
/// The kernel takes little for one who doesn't read, so that a pause is soon felt.
const CONFIGURATION: &str = "[worker]\nsend_buffer_bytes = 16384\n";

/// Who gets SIGKILL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Victim {
    /// The worker in this slot.
    Worker(u64),
    /// The hub.
    Hub,
    /// Every process of the node; another node begins on the same folder.
    Everything,
}

/// One kill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    victim: Victim,
    /// It comes when so many publications of the round are acknowledged.
    after: u64,
}

/// So many rounds of each kind of victim. Each kind comes once in three rounds, so that no place dies so often that its restart is put off.
pub(crate) fn plan(rng: &mut Rng, rounds_of_each: u64, publishers: u64) -> Vec<Round> {
    let mut plan = Vec::new();
    for _ in 0..rounds_of_each {
        let worker = Victim::Worker(rng.u64(..WORKERS));
        let mut victims = [worker, Victim::Hub, Victim::Everything];
        rng.shuffle(&mut victims);
        plan.extend(victims.map(|victim| Round {
            victim,
            after: rng.u64(1..publishers * PUBLICATIONS * 3 / 4),
        }));
    }
    plan
}

/// A node with its log in this folder.
pub(crate) async fn start(folder: &Path) -> Node {
    let (log, workers) = (format!("disk:{}", folder.display()), WORKERS.to_string());
    let arguments = ["--workers", &workers, "--source", "none", "--log", &log];
    Node::start_with(CONFIGURATION, &arguments).await
}

/// Carries out the plan; the node that is left.
pub(crate) async fn strike(stage: &Stage, folder: &Path, mut node: Node, plan: &[Round]) -> Node {
    for (number, round) in plan.iter().enumerate() {
        eprintln!("round {number}: {round:?}");
        let status = node.until_workers(WORKERS as usize).await;
        let begun = stage.now().sum();
        stage.change(|state| state.allowed += PUBLICATIONS);
        let has_come = |state: &State| state.sum() >= begun + round.after;
        stage.until("the moment to strike", has_come).await;
        match round.victim {
            Victim::Worker(slot) => {
                let victim = pid_of(worker(&status, slot));
                node.signal(victim, Signal::KILL);
                node.until("the worker is back", |status| {
                    let worker = worker(status, slot);
                    worker["state"] == "up" && pid_of(worker) != victim
                })
                .await;
            }
            Victim::Hub => {
                let victim = pid_of(&status["hub"]);
                node.signal(victim, Signal::KILL);
                node.until("the hub is back", |status| {
                    status["hub"]["state"] == "up" && pid_of(&status["hub"]) != victim
                })
                .await;
            }
            Victim::Everything => {
                node.kill_all().await;
                node = start(folder).await;
                let address = node.listen;
                stage.change(|state| state.address = address);
            }
        }
        until_all_publish(stage).await;
    }
    stage.change(|state| state.has_ended = true);
    node
}

async fn until_all_publish(stage: &Stage) {
    let before = stage.now().acknowledged.clone();
    stage.change(|state| state.allowed += MORE);
    let again = |state: &State| {
        let mut pairs = state.acknowledged.iter().zip(&before);
        pairs.all(|(now, before)| now > before)
    };
    stage
        .until("every publisher is acknowledged again", again)
        .await;
}
