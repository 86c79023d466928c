//! Subscribers that don't keep up, over real sockets: what each policy takes from them, what it tells them, and that nobody else
//! notices. Everywhere received + announced (+ conflated + filtered, as the ledger says) = published.
#[path = "../harness/mod.rs"]
mod harness;
mod seen;
mod stage;

mod ages;
mod bounds;
mod credit;
mod lanes;
mod live;
mod refused;
mod shapes;
mod shown;
