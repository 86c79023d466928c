//! The files that a run leaves at its end. They are opened before it begins and written whole or not at all.
use crate::args::Told;
use crate::aside::Aside;
use crate::failure::Failure;
use crate::record::Run;
use crate::report;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Files to be written at the end of a run.
#[derive(Debug)]
pub struct Output {
    json: Option<Named>,
    report: Option<Named>,
}

/// A file and the flag that names it.
#[derive(Debug)]
struct Named {
    flag: &'static str,
    path: PathBuf,
    file: Aside,
}

impl Output {
    /// Opens what is asked for.
    pub fn open(told: &Told) -> Result<Self, Failure> {
        Ok(Self {
            json: open("--json", told.json.as_deref())?,
            report: open("--report", told.report.as_deref())?,
        })
    }

    /// Writes all of them.
    pub fn write(self, run: &Run) -> Result<(), Failure> {
        if let Some(json) = self.json {
            let mut text = serde_json::to_vec_pretty(run).map_err(Failure::fault)?;
            text.push(b'\n');
            json.write(&text)?;
        }
        if let Some(report) = self.report {
            report.write(report::html(run).as_bytes())?;
        }
        Ok(())
    }
}

fn open(flag: &'static str, path: Option<&Path>) -> Result<Option<Named>, Failure> {
    let Some(path) = path else { return Ok(None) };
    match Aside::open(path) {
        Ok(file) => Ok(Some(Named {
            flag,
            path: path.to_owned(),
            file,
        })),
        Err(why) => Err(unwritable(flag, path, why)),
    }
}

impl Named {
    fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        let Self { flag, path, file } = self;
        file.write(bytes)
            .map_err(|why| unwritable(flag, &path, why))
    }
}

fn unwritable(flag: &str, path: &Path, why: impl Display) -> Failure {
    Failure::unavailable(format!("{flag} {}: {why}", path.display()))
}
