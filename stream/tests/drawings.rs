//! What `docs/backpressure.md` shows and says is what the engine does: its drawings are drawn anew and compared, its commands are
//! given to an engine.
#[path = "../examples/marbles/drawings/mod.rs"]
mod drawings;

use std::collections::BTreeSet;
use std::fs;

const REDRAW: &str =
    "run `cargo run -p pubsub-stream --example marbles`, look at what has changed, and commit it";

fn guide() -> String {
    fs::read_to_string(drawings::docs().join("backpressure.md")).expect("the guide is there")
}

#[test]
fn every_drawing_shows_what_the_engine_does() {
    for scene in drawings::scenes() {
        let path = drawings::folder().join(scene.file());
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == drawings::draw(&scene),
            "{} is not what the engine does: {REDRAW}",
            path.display()
        );
    }
}

#[test]
fn the_guide_shows_every_drawing_and_no_other() {
    let scenes = drawings::scenes();
    let drawn: BTreeSet<String> = scenes.iter().map(drawings::Scene::file).collect();
    let files = fs::read_dir(drawings::folder()).expect("the drawings are there");
    let files = files.map(|f| f.expect("a file").path());
    // Others in the folder are no drawings of the engine.
    let files: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|e| e == "svg"))
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    assert_eq!(files, drawn, "{REDRAW}");
    let guide = guide();
    let shown = guide.split("](img/").skip(1);
    let shown: BTreeSet<String> = shown
        .filter_map(|s| Some(s.split_once(')')?.0.to_owned()))
        .collect();
    assert_eq!(shown, drawn);
}

#[test]
fn every_command_of_the_guide_is_one_that_the_engine_takes() {
    let guide = guide();
    let commands = commands(&guide);
    assert!(commands.len() > 10, "the guide has commands: {commands:?}");
    let begin = r#"{"op":"subscribe","topic":"prices","credit":0}"#;
    for command in &commands {
        let begins = command.starts_with(r#"{"op":"subscribe""#);
        let said = if begins {
            vec![*command]
        } else {
            vec![begin, *command]
        };
        assert_eq!(drawings::refusal(&said), None);
    }
}

#[test]
fn every_setting_of_the_guide_is_one_that_the_engine_takes() {
    let guide = guide();
    let in_text = guide.lines().flat_map(|l| l.split('`').skip(1).step_by(2));
    let begins = |text: &str| {
        let names = ["from", "rate", "batch", "bound", "overflow", "credit"];
        names.iter().any(|n| text.starts_with(&format!("\"{n}\":")))
    };
    let settings: Vec<&str> = in_text.filter(|t| begins(t)).collect();
    assert!(settings.len() > 12, "the guide has settings: {settings:?}");
    for fields in settings {
        let command = format!(r#"{{"op":"subscribe","topic":"prices",{fields}}}"#);
        assert_eq!(drawings::refusal(&[&command]), None);
    }
}

/// What stands in blocks of JSON or by itself in a line, a command each.
fn commands(guide: &str) -> Vec<&str> {
    let blocks = guide.split("```json\n").skip(1);
    let in_blocks = blocks.flat_map(|b| b.split("```").next().unwrap_or_default().lines());
    let in_text = guide.lines().flat_map(|l| l.split('`').skip(1).step_by(2));
    let is_command = |text: &&str| text.starts_with(r#"{"op":"#) && !text.contains('…');
    in_blocks.chain(in_text).filter(is_command).collect()
}
