//! Tests of the pure core: single facts, and everything at once against a naive model.
mod facts;
mod model;
mod peer;
mod truth;
