//! Fan-out, measured from outside: the real server and real sockets beside a bare `write` loop over as many.
//!
//! `cargo bench --bench fanout -- [OPTIONS] [SCENARIO…]`, where no scenario means the list of them. Each scenario starts its own
//! server. Absolute times move from machine to machine and from hour to hour, so what matters is a ratio within one run:
//! server and floor take turns, the median of the pairs counts. CPU is of the whole tree of processes.
// A binary has no outside: `pub` marks what a room offers to the others.
#![allow(unreachable_pub)]
#![allow(clippy::disallowed_methods, reason = "a benchmark lives in real time")]

mod child;
mod phase;
mod report;
mod scenes;
mod sockets;
mod talk;
mod turns;

use child::Pin;
use report::Table;
use std::process::ExitCode;
use std::time::Duration;

/// As in the load tool: partial frames come and go by the thousand a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the command line asks for.
pub struct Asked {
    /// Interleaved pairs of a comparison.
    pub pairs: usize,
    /// The window that is measured in each phase.
    pub window: Duration,
    /// How long subscribers stand still whose memory is looked at.
    pub stall: Duration,
    /// Which cores.
    pub pin: Pin,
    json: Option<String>,
    scenes: Vec<String>,
}

impl Asked {
    fn from(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self {
            pairs: 5,
            window: Duration::from_secs(5),
            stall: Duration::from_secs(60),
            pin: Pin::Nowhere,
            json: None,
            scenes: Vec::new(),
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--pairs" => asked.pairs = number(&value()?)? as usize,
                "--seconds" => asked.window = Duration::from_secs_f64(number(&value()?)?),
                "--stall" => asked.stall = Duration::from_secs_f64(number(&value()?)?),
                "--json" => asked.json = Some(value()?),
                "--pin" => asked.pin = Pin::Apart,
                option if option.starts_with('-') => {
                    return Err(format!("{option}: no such option\n{}", usage()));
                }
                scene => asked.scenes.push(scene.to_owned()),
            }
        }
        Ok(asked)
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0.0)
        .ok_or(format!("{text}: expected a number above 0"))
}

fn usage() -> String {
    let scenes: Vec<String> = scenes::ALL
        .iter()
        .map(|scene| format!("  {:16} {}", scene.name, scene.what))
        .collect();
    format!(
        "cargo bench --bench fanout -- [--pairs 5] [--seconds 5] [--stall 60] [--pin] [--json FILE] SCENARIO… | all\n\
         --pairs: rounds of a comparison; --seconds: of each phase; --stall: seconds of the scenarios stalled-memory and stalled-at-once\n\
         --pin: the server on core 0, subscribers and publishers on core 1\n{}",
        scenes.join("\n")
    )
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(child::FLOOR) {
        return ended(child::floor_process().map_err(|error| error.to_string()));
    }
    ended(Asked::from(std::env::args().skip(1)).and_then(|asked| run(&asked)))
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fanout: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &Asked) -> Result<(), String> {
    if asked.scenes.is_empty() {
        println!("{}", usage());
        return Ok(());
    }
    let chosen: Vec<_> = if asked.scenes.iter().any(|name| name == "all") {
        scenes::ALL.iter().collect()
    } else {
        let find = |name: &String| {
            scenes::ALL
                .iter()
                .find(|scene| scene.name == *name)
                .ok_or(format!("{name}: no such scenario\n{}", usage()))
        };
        asked.scenes.iter().map(find).collect::<Result<_, _>>()?
    };
    let mut table = Table::new(asked.pin);
    for scene in chosen {
        eprintln!("fanout: {}: {}", scene.name, scene.what);
        table.add(scene.name, scene.what, (scene.run)(asked));
        if let Some(file) = &asked.json {
            std::fs::write(file, table.json()).map_err(|error| format!("{file}: {error}"))?;
        }
    }
    println!("{table}");
    Ok(())
}
