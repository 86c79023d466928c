//! Marble diagrams that cannot lie: a scene is played to the engine, and what came out is what is drawn.
//!
//! `scenes` are the scripts, `stage` plays one in virtual time and records what each subscriber got and when, `layout` finds a place
//! for everything, `svg` writes it. Shared by the example that writes the files and the test that compares them.
mod layout;
mod scenes;
mod stage;
mod svg;

use std::path::{Path, PathBuf};

pub(crate) use scenes::{Scene, scenes};
#[allow(unused_imports, reason = "only the test asks")]
pub(crate) use stage::refusal;

/// The file of a scene, whole.
pub(crate) fn draw(scene: &Scene) -> String {
    layout::drawing(scene, &stage::play(scene))
}

/// Where the drawings are.
pub(crate) fn folder() -> PathBuf {
    docs().join("img")
}

/// The project's documents.
pub(crate) fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}
