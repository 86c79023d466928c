//! A file that is whole or not there: written beside its name, and given its name when it is done.
//!
//! It is opened before the run, so that a name that cannot be written to is known before an hour of measuring.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file to be.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    place: Place,
}

/// Where it is written meanwhile.
#[derive(Debug)]
enum Place {
    /// Beside its name.
    Beside { temporary: PathBuf, file: File },
    /// What is there is no file that could be replaced: a terminal, a pipe, a device.
    There(File),
}

impl Aside {
    /// Opens it.
    pub fn open(path: &Path) -> io::Result<Self> {
        // A link is followed: what it names is written, and the link stays.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let place = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => Place::There(File::options().write(true).open(&path)?),
            _ => beside(&path)?,
        };
        Ok(Self { path, place })
    }

    /// Writes all of it.
    pub fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::There(file) => file.write_all(bytes),
            Place::Beside { temporary, file } => {
                file.write_all(bytes)?;
                file.sync_all()?;
                fs::rename(temporary, &self.path)
            }
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Place::Beside { temporary, .. } = &self.place {
            // Once it has its name, it is no longer there.
            let _ = fs::remove_file(temporary);
        }
    }
}

fn beside(path: &Path) -> io::Result<Place> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(hidden);
    let file = File::create(&temporary)?;
    Ok(Place::Beside { temporary, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_stays_until_all_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::write(&path, "old").unwrap();
        let file = Aside::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.json"]);
    }

    #[test]
    fn what_is_not_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Aside::open(&dir.path().join("a.json")).unwrap());
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn a_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        Aside::open(&link).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        Aside::open(Path::new("/dev/null"))
            .unwrap()
            .write(b"x")
            .unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let full = Aside::open(Path::new("/dev/full")).unwrap().write(b"x");
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_name_that_cannot_be_is_known_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &Path| Aside::open(path).unwrap_err().kind();
        assert_eq!(kind(dir.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&dir.path().join("no/a")), io::ErrorKind::NotFound);
    }
}
