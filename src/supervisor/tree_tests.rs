//! What the tree of processes promises, one fact each, and a random walk against its laws.

use super::*;
use proptest::prelude::*;

const PLAN: Plan = Plan {
    workers: 2,
    admin: true,
    drain_ms: 5000,
};
const W0: Role = Role::Worker(0);
const W1: Role = Role::Worker(1);
const W2: Role = Role::Worker(2);

fn actions(tree: &mut Tree) -> Vec<Action> {
    std::iter::from_fn(|| tree.poll_action()).collect()
}

fn spawned(tree: &mut Tree) -> Vec<(Role, u32)> {
    let spawn = |action| match action {
        Action::Spawn(role, generation) => Some((role, generation)),
        _ => None,
    };
    actions(tree).into_iter().filter_map(spawn).collect()
}

fn drain(role: Role, reason: DrainReason) -> Action {
    Action::Order(
        role,
        Order::Drain {
            reason,
            window_ms: 5000,
        },
    )
}

fn stop(role: Role) -> Action {
    Action::Order(role, Order::Stop)
}

/// A node whose processes are all ready.
fn serving(plan: Plan) -> Tree {
    let mut tree = Tree::new(0, plan);
    for (role, generation) in spawned(&mut tree) {
        tree.handle_ready(0, role, generation);
    }
    assert_eq!(actions(&mut tree), [Action::Announce]);
    tree
}

#[test]
fn a_node_starts_hub_admin_and_workers_and_is_announced_when_all_are_ready() {
    let mut tree = Tree::new(0, PLAN);
    assert_eq!(
        spawned(&mut tree),
        [(Role::Hub, 1), (Role::Admin, 1), (W0, 1), (W1, 1)]
    );
    for role in [W1, Role::Admin, W0] {
        tree.handle_ready(1, role, 1);
        assert_eq!(actions(&mut tree), []);
    }
    assert_eq!(tree.look(Role::Hub).state, State::Starting);
    tree.handle_ready(1, Role::Hub, 1);
    assert_eq!(actions(&mut tree), [Action::Announce]);
    assert_eq!(tree.look(Role::Hub).state, State::Up);
}

#[test]
fn a_worker_that_dies_is_back_at_once_and_counted() {
    let mut tree = serving(PLAN);
    tree.handle_exit(SECOND, W1, 1);
    assert_eq!(actions(&mut tree), [Action::Spawn(W1, 2)]);
    assert_eq!(
        tree.look(W1),
        Look {
            state: State::Starting,
            restarts: 1,
            generation: 2
        }
    );
    tree.handle_ready(SECOND, W1, 2);
    assert_eq!(actions(&mut tree), [], "a node is announced once");
}

#[test]
fn what_a_process_before_this_one_reports_is_not_heard() {
    let mut tree = serving(PLAN);
    tree.handle_exit(1, W1, 1);
    assert_eq!(spawned(&mut tree), [(W1, 2)]);
    tree.handle_ready(1, W1, 1);
    tree.handle_exit(1, W1, 1);
    assert_eq!(
        (actions(&mut tree), tree.look(W1).state),
        (vec![], State::Starting)
    );
}

#[test]
fn a_worker_that_keeps_dying_waits_longer_and_is_parked() {
    let mut tree = serving(PLAN);
    let (mut now, mut spawns) = (0, 0);
    while tree.look(W0).state != State::Parked {
        tree.handle_exit(now, W0, tree.look(W0).generation);
        spawns += spawned(&mut tree).len();
        if tree.look(W0).state == State::Down {
            now = tree.poll_timeout().unwrap();
            tree.handle_timeout(now - 1);
            assert_eq!(actions(&mut tree), []);
            tree.handle_timeout(now);
            spawns += spawned(&mut tree).len();
        }
    }
    assert_eq!((spawns, tree.look(W0).restarts), (9, 10));
    assert_eq!(tree.look(W1).state, State::Up);
    tree.handle_timeout(tree.poll_timeout().unwrap());
    assert_eq!(spawned(&mut tree), [(W0, 11)]);
}

#[test]
fn a_node_that_cannot_become_ready_ends() {
    let mut tree = Tree::new(0, PLAN);
    let mut now = 0;
    while tree.look(W0).state != State::Parked && !tree.is_stopping() {
        actions(&mut tree);
        now = tree
            .poll_timeout()
            .filter(|_| tree.look(W0).state == State::Down)
            .unwrap_or(now);
        tree.handle_timeout(now);
        tree.handle_exit(now, W0, tree.look(W0).generation);
    }
    let mut last = actions(&mut tree);
    last.retain(|action| !matches!(action, Action::Spawn(..)));
    assert_eq!(last, [stop(Role::Hub), stop(Role::Admin), stop(W1)]);
    for role in [Role::Hub, Role::Admin, W1] {
        tree.handle_exit(now, role, 1);
    }
    assert_eq!(
        actions(&mut tree),
        [Action::Finish(Outcome::NeverReady(W0))]
    );
}

#[test]
fn a_process_that_does_not_become_ready_is_killed_and_started_again() {
    let mut tree = Tree::new(0, PLAN);
    actions(&mut tree);
    for role in [Role::Hub, Role::Admin, W0] {
        tree.handle_ready(0, role, 1);
    }
    assert_eq!(tree.poll_timeout(), Some(START_NS));
    tree.handle_timeout(START_NS);
    assert_eq!(actions(&mut tree), [Action::Kill(W1)]);
    tree.handle_exit(START_NS, W1, 1);
    assert_eq!(spawned(&mut tree), [(W1, 2)]);
}

#[test]
fn more_workers_are_started_and_fewer_are_drained() {
    let mut tree = serving(PLAN);
    tree.handle_resize(0, 3);
    assert_eq!(actions(&mut tree), [Action::Spawn(W2, 1)]);
    tree.handle_ready(0, W2, 1);
    tree.handle_resize(0, 1);
    let rebalance = DrainReason::Rebalance;
    assert_eq!(
        actions(&mut tree),
        [drain(W1, rebalance), drain(W2, rebalance)]
    );
    assert_eq!((tree.workers_wanted(), tree.worker_slots()), (1, 3));
    tree.handle_exit(1, W2, 1);
    assert_eq!(
        (tree.worker_slots(), tree.look(W2).state),
        (2, State::Empty)
    );
    tree.handle_exit(1, W1, 1);
    assert_eq!(
        (actions(&mut tree), tree.worker_slots(), tree.poll_timeout()),
        (vec![], 1, None)
    );
    assert_eq!(tree.look(W1).restarts, 0, "it went because it was told to");
}

#[test]
fn a_worker_wanted_again_while_it_drains_is_followed_by_another_at_once() {
    let mut tree = serving(PLAN);
    tree.handle_resize(0, 1);
    actions(&mut tree);
    tree.handle_resize(1, 2);
    assert_eq!(
        (actions(&mut tree), tree.look(W1).state),
        (vec![], State::Draining)
    );
    tree.handle_exit(2, W1, 1);
    assert_eq!(actions(&mut tree), [Action::Spawn(W1, 2)]);
}

#[test]
fn a_worker_no_longer_wanted_while_it_waits_for_a_restart_is_forgotten() {
    let mut tree = serving(PLAN);
    tree.handle_exit(0, W1, 1);
    tree.handle_exit(0, W1, 2);
    assert_eq!(tree.look(W1).state, State::Down);
    tree.handle_resize(0, 1);
    assert_eq!(
        (tree.look(W1).state, tree.poll_timeout()),
        (State::Empty, None)
    );
}

#[test]
fn one_that_does_not_drain_in_time_is_killed() {
    let mut tree = serving(PLAN);
    tree.handle_resize(0, 1);
    actions(&mut tree);
    let deadline = tree.poll_timeout().unwrap();
    assert_eq!(deadline, 10 * SECOND);
    tree.handle_timeout(deadline);
    assert_eq!(
        (actions(&mut tree), tree.poll_timeout()),
        (vec![Action::Kill(W1)], None)
    );
}

#[test]
fn a_stop_drains_the_workers_then_stops_the_others_then_ends() {
    let mut tree = serving(PLAN);
    tree.handle_stop(0);
    let shutdown = DrainReason::Shutdown;
    assert_eq!(
        actions(&mut tree),
        [Action::Drain, drain(W0, shutdown), drain(W1, shutdown)]
    );
    tree.handle_exit(1, W0, 1);
    assert_eq!(actions(&mut tree), []);
    tree.handle_exit(2, W1, 1);
    assert_eq!(actions(&mut tree), [stop(Role::Hub), stop(Role::Admin)]);
    tree.handle_exit(3, Role::Admin, 1);
    tree.handle_exit(3, Role::Hub, 1);
    assert_eq!(actions(&mut tree), [Action::Finish(Outcome::Stopped)]);
}

#[test]
fn a_second_stop_waits_for_nobody() {
    let mut tree = serving(PLAN);
    tree.handle_stop(0);
    actions(&mut tree);
    tree.handle_stop(1);
    assert_eq!(
        actions(&mut tree),
        [stop(Role::Hub), stop(Role::Admin), stop(W0), stop(W1)]
    );
    tree.handle_timeout(1 + STOP_GRACE_NS);
    assert_eq!(
        actions(&mut tree),
        [Role::Hub, Role::Admin, W0, W1].map(Action::Kill)
    );
}

#[test]
fn nothing_is_started_once_a_stop_has_begun() {
    let mut tree = serving(PLAN);
    tree.handle_exit(0, W0, 1);
    tree.handle_exit(0, W0, 2);
    tree.handle_stop(0);
    actions(&mut tree);
    assert_eq!(tree.look(W0).state, State::Empty);
    tree.handle_exit(0, Role::Hub, 1);
    tree.handle_resize(0, 9);
    tree.handle_timeout(4 * SECOND);
    assert_eq!(actions(&mut tree), []);
}

#[test]
fn a_drained_node_has_fresh_workers_that_say_so_and_can_still_be_stopped() {
    let mut tree = serving(PLAN);
    tree.handle_drain(0);
    let shutdown = DrainReason::Shutdown;
    assert_eq!(
        actions(&mut tree),
        [Action::Drain, drain(W0, shutdown), drain(W1, shutdown)]
    );
    tree.handle_drain(0);
    assert_eq!(actions(&mut tree), []);
    tree.handle_exit(1, W0, 1);
    assert_eq!(actions(&mut tree), [Action::Spawn(W0, 2)]);
    tree.handle_stop(2);
    assert_eq!(
        actions(&mut tree),
        [drain(W0, shutdown)],
        "worker 1 drains already"
    );
}

#[test]
fn a_node_without_admin_and_without_a_process_left_ends_at_once() {
    let mut tree = serving(Plan {
        workers: 1,
        admin: false,
        ..PLAN
    });
    tree.handle_stop(0);
    tree.handle_exit(0, Role::Hub, 1);
    tree.handle_exit(0, W0, 1);
    assert_eq!(
        actions(&mut tree).last(),
        Some(&Action::Finish(Outcome::Stopped))
    );
}

/// Processes as a driver would have them: place, generation, whether they were told to go, whether SIGKILL was sent.
#[derive(Default)]
struct Model {
    alive: Vec<(Role, u32)>,
    killed: Vec<(Role, u32)>,
    finished: bool,
}

impl Model {
    fn take_actions(&mut self, tree: &mut Tree, stopping: bool) -> Result<(), TestCaseError> {
        while let Some(action) = tree.poll_action() {
            prop_assert!(!self.finished, "{action:?} after the end");
            match action {
                Action::Spawn(role, generation) => {
                    prop_assert!(!stopping, "{role:?} started in a stop");
                    prop_assert!(
                        self.alive.iter().all(|(other, _)| *other != role),
                        "two in {role:?}"
                    );
                    self.alive.push((role, generation));
                }
                Action::Order(role, _) | Action::Kill(role) => {
                    let process = self.alive.iter().find(|(other, _)| *other == role);
                    prop_assert!(process.is_some(), "{action:?} to nobody");
                    if matches!(action, Action::Kill(_)) {
                        self.killed.extend(process.copied());
                    }
                }
                Action::Finish(_) => {
                    prop_assert!(self.alive.is_empty(), "ended with {:?}", self.alive);
                    self.finished = true;
                }
                Action::Announce | Action::Drain => {}
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn every_walk_keeps_the_laws_and_ends(steps in prop::collection::vec((0..7_u8, 0..64_usize, 0..3000_u64), 0..120)) {
        let (mut tree, mut model, mut now, mut stops) = (Tree::new(0, PLAN), Model::default(), 0, 0);
        model.take_actions(&mut tree, false)?;
        for (what, which, ms) in steps {
            now += ms * 1_000_000;
            let process = model.alive.get(which % model.alive.len().max(1)).copied();
            match (what, process) {
                (0 | 1, Some((role, generation))) => tree.handle_ready(now, role, generation),
                (2 | 3, Some((role, generation))) => {
                    model.alive.retain(|(other, _)| *other != role);
                    tree.handle_exit(now, role, generation);
                }
                (4, _) => tree.handle_resize(now, which as u32 % 5 + 1),
                (5, _) if which < 4 => tree.handle_drain(now),
                (6, _) if which < 2 => { tree.handle_stop(now); stops += 1; }
                _ => tree.handle_timeout(now),
            }
            model.take_actions(&mut tree, stops > 0)?;
            for role in tree.roles().collect::<Vec<_>>() {
                let alive = model.alive.iter().any(|(other, _)| *other == role);
                let shown = tree.look(role).state;
                let shown_alive = matches!(shown, State::Starting | State::Up | State::Draining);
                prop_assert_eq!(alive, shown_alive, "{:?} is shown as {:?}", role, shown);
                prop_assert!(shown_alive || shown == State::Empty || tree.poll_timeout().is_some());
            }
        }
        // Whatever state the walk left, a stop ends it in bounded time, though nobody obeys but to SIGKILL.
        let begun = now;
        tree.handle_stop(now);
        model.take_actions(&mut tree, true)?;
        while !model.finished {
            let killed = std::mem::take(&mut model.killed);
            if killed.is_empty() {
                now = tree.poll_timeout().expect("an end or a deadline").max(now);
                tree.handle_timeout(now);
            }
            for (role, generation) in killed {
                model.alive.retain(|process| *process != (role, generation));
                tree.handle_exit(now, role, generation);
            }
            model.take_actions(&mut tree, true)?;
        }
        prop_assert!(now - begun <= 5 * SECOND + DRAIN_GRACE_NS + STOP_GRACE_NS);
    }
}
