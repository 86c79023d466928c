//! The log's folder: whose it is, of which version, and up to where offsets may have been given.
//!
//! Owns the files `lock`, `meta` and `mark`, and the names of classes' folders. Must not contain: segments. Driven by the log, which opens
//! it, and by the thread beside the log, which moves the mark.
//!
//! Laws: one node has the folder; a folder of a newer version is left alone; a file that says something about all others is never changed
//! in place, but written aside, synced and renamed.
use super::format::FORMAT;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Names this run of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Why a folder is not to be had. Each text is one line.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It can't be made, read or written.
    #[error(
        "the log's folder {path:?} can't be used: {source}; choose another with --log disk:FOLDER"
    )]
    Unusable {
        /// The folder, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another node has it.
    #[error(
        "the log's folder {path:?} belongs to a running node (process {holder}): stop that, or choose another --log disk:FOLDER"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process.
        holder: String,
    },
    /// A newer build has written it.
    #[error(
        "the log's folder {path:?} is of version {found} of the format, this build knows {FORMAT}: run the build that wrote it, or choose another folder"
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// What it says of itself can't be read.
    #[error(
        "{path:?} is damaged: {why}; restore it from a copy, or move the folder away and begin with an empty one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is nothing in it.
    #[error("{path:?} holds no log")]
    NoLog {
        /// The folder.
        path: PathBuf,
    },
    /// There is something else in it.
    #[error(
        "the log's folder {path:?} holds other files, such as {other:?}, and no log: choose an empty folder, or one of a log"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// One of them.
        other: PathBuf,
    },
}

/// `meta`: what a log is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the format.
    pub format: u32,
    /// Name of its sequence of offsets.
    pub epoch: String,
    /// When it was made, microseconds since the Unix epoch.
    pub created_us: u64,
    /// Ranges of offsets, first and last, that were stepped over after a crash: of what was there nobody knows.
    #[serde(default)]
    pub jumps: Vec<(i64, i64)>,
}

/// What a mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Offsets up to there may be given.
    Reserved,
    /// The log was closed in order: they have been given.
    Closed,
}

/// `mark`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Offsets up to here may have been given.
    pub upto: i64,
    /// Whether they have.
    pub kind: Kind,
    /// By this run of the machine, the last that wrote here.
    pub boot: [u8; 16],
}

/// See the module.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    meta: Meta,
    boot: [u8; 16],
    mark: Mutex<Option<Mark>>,
    /// Held for as long as the folder is used.
    _lock: File,
}

impl Folder {
    /// Takes the folder; a new one is made, with this name for its sequence of offsets.
    pub fn open(path: &Path, epoch: &str, now_us: u64) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable {
            path: path.to_owned(),
            source,
        };
        make(path).map_err(unusable)?;
        let lock = take_lock(path)?;
        let meta = if let Some(meta) = read_meta(path)? {
            meta
        } else {
            only_if_empty(path)?;
            let meta = Meta {
                format: FORMAT,
                epoch: epoch.to_owned(),
                created_us: now_us,
                jumps: Vec::new(),
            };
            let text = serde_json::to_vec(&meta).map_err(io::Error::from);
            text.and_then(|text| replace(&path.join("meta"), &text))
                .map_err(unusable)?;
            meta
        };
        make(&path.join("classes")).map_err(unusable)?;
        Ok(Self {
            mark: Mutex::new(read_mark(path)?),
            path: path.to_owned(),
            meta,
            boot: boot_id().map_err(unusable)?,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of its sequence of offsets.
    pub fn epoch(&self) -> &str {
        &self.meta.epoch
    }

    /// This run of the machine.
    pub fn boot(&self) -> [u8; 16] {
        self.boot
    }

    /// The mark, if there ever was one.
    pub fn mark(&self) -> Option<Mark> {
        // It is written whole.
        *self
            .mark
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ranges of offsets in which something may have been that was lost.
    pub fn jumps(&self) -> &[(i64, i64)] {
        &self.meta.jumps
    }

    /// Numbering goes on behind this range, of which something may have been seen; those up to `floor`, which every
    /// class has let go of, matter to nobody any more.
    pub fn note_jump(&mut self, jump: (i64, i64), floor: i64) -> io::Result<()> {
        self.meta.jumps.retain(|jump| jump.1 > floor);
        self.meta.jumps.push(jump);
        let text = serde_json::to_vec(&self.meta)?;
        replace(&self.path.join("meta"), &text)
    }

    /// Offsets up to here may be given from now on, whatever happens to the machine.
    pub fn reserve(&self, upto: i64) -> io::Result<()> {
        self.write_mark(upto, Kind::Reserved)
    }

    /// Offsets up to here have been given, and no more are.
    pub fn close(&self, upto: i64) -> io::Result<()> {
        self.write_mark(upto, Kind::Closed)
    }

    fn write_mark(&self, upto: i64, kind: Kind) -> io::Result<()> {
        let mark = Mark {
            upto,
            kind,
            boot: self.boot,
        };
        replace(&self.path.join("mark"), &write_mark(&mark))?;
        *self
            .mark
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(mark);
        Ok(())
    }

    /// The folder of a class, made if it isn't there.
    pub fn class(&self, pattern: &str) -> io::Result<PathBuf> {
        let path = self.path.join("classes").join(file_name(pattern));
        if !path.is_dir() {
            make(&path)?;
            sync_dir(&self.path.join("classes"))?;
        }
        Ok(path)
    }

    /// The classes there are folders of.
    pub fn classes(&self) -> io::Result<Vec<(String, PathBuf)>> {
        classes_in(&self.path)
    }
}

/// Whether a node could take the folder now; it is made if it isn't there.
pub fn probe(path: &Path) -> Result<(), FolderError> {
    make(path).map_err(|source| FolderError::Unusable {
        path: path.to_owned(),
        source,
    })?;
    let _lock = take_lock(path)?;
    match read_meta(path)? {
        Some(_) => read_mark(path).map(|_| ()),
        None => only_if_empty(path),
    }
}

/// The classes in a log's folder: their patterns and folders, by pattern.
pub fn classes_in(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut classes = Vec::new();
    for entry in fs::read_dir(folder.join("classes"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(pattern) = name.and_then(pattern) {
            classes.push((pattern, path));
        }
    }
    classes.sort();
    Ok(classes)
}

/// What a folder says of itself to one who doesn't take it.
#[derive(Debug)]
pub struct Look {
    /// What it is.
    pub meta: Meta,
    /// Its mark.
    pub mark: Option<Mark>,
    /// Its classes: their patterns and folders.
    pub classes: Vec<(String, PathBuf)>,
}

/// Looks at a folder that a node may be using.
pub fn look(folder: &Path) -> Result<Look, FolderError> {
    let Some(meta) = read_meta(folder)? else {
        return Err(FolderError::NoLog {
            path: folder.to_owned(),
        });
    };
    let classes = classes_in(folder).map_err(|source| FolderError::Unusable {
        path: folder.join("classes"),
        source,
    })?;
    Ok(Look {
        meta,
        mark: read_mark(folder)?,
        classes,
    })
}

/// Syncs the names in a folder.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Names this run of the machine.
fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string(BOOT_ID)?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16).map_err(io::Error::other)?;
    Ok(id.to_be_bytes())
}

/// A folder of this user's own.
pub(super) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn take_lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("lock");
    let unusable = |source| FolderError::Unusable {
        path: path.clone(),
        source,
    };
    let mut lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(unusable)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // Without it the text is only less exact.
        let _ = lock.read_to_string(&mut holder);
        return Err(FolderError::Locked {
            path: folder.to_owned(),
            holder: holder.trim().to_owned(),
        });
    }
    let note = lock
        .set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "{}", std::process::id()));
    note.map_err(unusable)?;
    Ok(lock)
}

fn read_meta(folder: &Path) -> Result<Option<Meta>, FolderError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let path = folder.join("meta");
    let Some(text) = read_if_there(&path)? else {
        return Ok(None);
    };
    let damaged = |error: serde_json::Error| FolderError::Damaged {
        path: path.clone(),
        why: error.to_string(),
    };
    let Version { format } = serde_json::from_slice(&text).map_err(damaged)?;
    if format > FORMAT {
        return Err(FolderError::Newer {
            path: folder.to_owned(),
            found: format,
        });
    }
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

fn read_mark(folder: &Path) -> Result<Option<Mark>, FolderError> {
    let path = folder.join("mark");
    let Some(bytes) = read_if_there(&path)? else {
        return Ok(None);
    };
    let whole = <[u8; 29]>::try_from(bytes.as_slice()).ok();
    let mark = whole.filter(|bytes| crc32c::crc32c(&bytes[..25]).to_le_bytes() == bytes[25..]);
    let bytes = mark.ok_or_else(|| FolderError::Damaged {
        path,
        why: "its check fails".to_owned(),
    })?;
    Ok(Some(Mark {
        upto: super::format::i64_at(&bytes, 0),
        boot: super::format::array_at(&bytes, 8),
        kind: if bytes[24] == 0 {
            Kind::Reserved
        } else {
            Kind::Closed
        },
    }))
}

fn write_mark(mark: &Mark) -> Vec<u8> {
    let mut bytes = mark.upto.to_le_bytes().to_vec();
    bytes.extend_from_slice(&mark.boot);
    bytes.push(u8::from(mark.kind == Kind::Closed));
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, FolderError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FolderError::Unusable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A file is there with these bytes, or as it was before.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// A log begins in an empty folder only: nobody's files come to lie among its own. What a crash left of its own beginning is no other's.
fn only_if_empty(folder: &Path) -> Result<(), FolderError> {
    let unusable = |source| FolderError::Unusable {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let name = entry.map_err(unusable)?.file_name();
        if name != "lock" && name != "meta.new" {
            return Err(FolderError::Foreign {
                path: folder.to_owned(),
                other: name.into(),
            });
        }
    }
    Ok(())
}

/// A pattern as the name of a folder: what isn't a letter, a digit, `-`, `_` or `.` inside is written as `%` and two digits.
fn file_name(pattern: &str) -> String {
    let mut name = String::with_capacity(pattern.len());
    for (at, byte) in pattern.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || byte == b'-'
            || byte == b'_'
            || (byte == b'.' && at > 0);
        if plain {
            name.push(byte.into());
        } else {
            // Writing into a string cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

/// The pattern that has this name as a folder.
fn pattern(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let pattern = String::from_utf8(bytes).ok()?;
    (file_name(&pattern) == name).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(path: &Path) -> Result<Folder, FolderError> {
        Folder::open(path, "e", 5)
    }

    proptest! {
        #[test]
        fn a_patterns_folder_says_which_pattern_it_is_of(text in "[a-z.*>%/é]{1,12}") {
            let name = file_name(&text);
            prop_assert!(!name.contains('/') && !name.starts_with('.'));
            prop_assert_eq!(pattern(&name), Some(text));
        }
    }

    #[test]
    fn it_keeps_its_epoch_and_its_mark() {
        let at = tempfile::tempdir().unwrap();
        let folder = open(&at.path().join("a/b")).unwrap();
        assert_eq!((folder.epoch(), folder.mark()), ("e", None));
        folder.close(77).unwrap();
        drop(folder);
        let folder = Folder::open(&at.path().join("a/b"), "other", 6).unwrap();
        assert_eq!(folder.epoch(), "e");
        let mark = folder.mark().unwrap();
        assert_eq!((mark.upto, mark.boot), (77, boot_id().unwrap()));
        assert_eq!(mark.kind, Kind::Closed);
    }

    #[test]
    fn one_node_has_it() {
        let at = tempfile::tempdir().unwrap();
        let _held = open(at.path()).unwrap();
        let refused = open(at.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
    }

    #[test]
    fn a_newer_version_is_left_alone() {
        let at = tempfile::tempdir().unwrap();
        drop(open(at.path()).unwrap());
        fs::write(at.path().join("meta"), r#"{"format":2,"other":1}"#).unwrap();
        let refused = open(at.path()).unwrap_err();
        assert!(
            matches!(refused, FolderError::Newer { found: 2, .. }),
            "{refused}"
        );
    }

    #[test]
    fn a_log_begins_in_an_empty_folder_only() {
        let at = tempfile::tempdir().unwrap();
        fs::write(at.path().join("thesis.tex"), "").unwrap();
        let refused = open(at.path()).unwrap_err();
        assert!(matches!(refused, FolderError::Foreign { .. }), "{refused}");
        assert!(refused.to_string().contains("thesis.tex"));
    }

    #[test]
    fn what_is_damaged_is_named() {
        let at = tempfile::tempdir().unwrap();
        let folder = open(at.path()).unwrap();
        folder.reserve(1).unwrap();
        drop(folder);
        for (file, content) in [("mark", "x"), ("meta", "{")] {
            let before = fs::read(at.path().join(file)).unwrap();
            fs::write(at.path().join(file), content).unwrap();
            let refused = open(at.path()).unwrap_err();
            assert!(matches!(refused, FolderError::Damaged { .. }), "{refused}");
            assert!(refused.to_string().contains(file), "{refused}");
            fs::write(at.path().join(file), before).unwrap();
        }
    }

    #[test]
    fn classes_are_found_again() {
        let at = tempfile::tempdir().unwrap();
        let folder = open(at.path()).unwrap();
        for text in [">", "quotes.*"] {
            folder.class(text).unwrap();
            folder.class(text).unwrap();
        }
        let found: Vec<String> = folder
            .classes()
            .unwrap()
            .into_iter()
            .map(|class| class.0)
            .collect();
        assert_eq!(found, [">", "quotes.*"]);
    }
}
