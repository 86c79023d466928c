//! What a run writes line by line: the report, and the log of histograms. Each line is written whole, so that the files are whole
//! whenever the run ends.
use super::lines::Lines;
use super::row::{self, Row};
use crate::args::Ramp as Asked;
use crate::failure::Failure;
use crate::hdr::{HdrLog, Interval};
use crate::swarm::Tally;
use std::fs::File;
use std::io;
use std::path::Path;

pub(super) struct Files<'a> {
    asked: &'a Asked,
    csv: Lines,
    hdr: Option<HdrLog<File>>,
}

impl<'a> Files<'a> {
    /// Opens what is asked for, and writes what stands above the lines.
    pub(super) fn open(asked: &'a Asked, begun_us: u64) -> Result<Self, Failure> {
        let csv = Lines::open(asked.csv.as_deref())
            .map_err(|error| unwritable("--csv", asked.csv.as_deref(), &error))?;
        let hdr = match &asked.hdr {
            Some(path) => Some(
                HdrLog::create(path, begun_us)
                    .map_err(|error| unwritable("--hdr", Some(path), &error))?,
            ),
            None => None,
        };
        let mut files = Self { asked, csv, hdr };
        files.line(&row::header())?;
        Ok(files)
    }

    /// Writes a line, and what each group received in it.
    pub(super) fn write(
        &mut self,
        row: &Row,
        interval: Interval,
        groups: &[Tally],
    ) -> Result<(), Failure> {
        self.line(&row.line())?;
        let Some(hdr) = &mut self.hdr else {
            return Ok(());
        };
        let slow = self.asked.slow.iter().map(|slow| slow.name.as_str());
        let names = std::iter::once("healthy").chain(slow);
        for (name, tally) in names.zip(groups) {
            let name = (groups.len() > 1).then_some(name);
            hdr.add(interval, name, tally)
                .map_err(|error| unwritable("--hdr", self.asked.hdr.as_deref(), &error))?;
        }
        Ok(())
    }

    /// A terminal that lines would go to is taken.
    pub(super) fn hold(&mut self) {
        self.csv.hold();
    }

    /// It has been given back.
    pub(super) fn release(&mut self) -> Result<(), Failure> {
        self.csv
            .release()
            .map_err(|error| unwritable("--csv", self.asked.csv.as_deref(), &error))
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.csv
            .line(line)
            .map_err(|error| unwritable("--csv", self.asked.csv.as_deref(), &error))
    }
}

fn unwritable(flag: &str, path: Option<&Path>, error: &io::Error) -> Failure {
    match path {
        Some(path) => Failure::unavailable(format!("{flag} {}: {error}", path.display())),
        None => Failure::unavailable(format!("standard output: {error}")),
    }
}
