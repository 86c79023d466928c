//! Tests of the pure core: facts by purpose, and everything at once against a naive model.
mod checkpoints;
mod counts;
mod limits;
mod model;
mod peer;
mod positions;
mod rejoin;
mod stand;
mod stream;
mod truth;
