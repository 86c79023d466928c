//! Draws the marble diagrams of `docs/backpressure.md` from what the engine does: `cargo run -p pubsub-stream --example marbles`.
//!
//! A test holds the committed drawings against what this writes, so they cannot go stale.
mod drawings;

use std::{fs, io};

fn main() -> io::Result<()> {
    let folder = drawings::folder();
    fs::create_dir_all(&folder)?;
    for scene in drawings::scenes() {
        let path = folder.join(scene.file());
        fs::write(&path, drawings::draw(&scene))?;
        println!("{}", path.display());
    }
    Ok(())
}
