//! One file of a class: made ready, begun, appended to.
//!
//! Owns its name, its head, and that a write is whole or not there. Must not contain: what is in a batch. Driven by the class and by
//! whoever reads one.
//!
//! A segment is made ready aside, with its space allocated, so that no write meets a full disk; when its turn comes it gets its head and
//! its name. Its length is what was written, whatever is allocated.
use super::format::{SEGMENT_HEAD_BYTES, SegmentHead, read_segment_head, write_segment_head};
use rustix::fs::{FallocateFlags, fallocate, ftruncate};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ends the names of segments.
const EXTENSION: &str = "log";

/// Names aside are numbered, since two threads make some.
static ASIDE: AtomicU64 = AtomicU64::new(0);

/// A segment that is, or will be, written.
#[derive(Debug)]
pub struct Writer {
    file: Arc<File>,
    path: PathBuf,
    len: u32,
}

impl Writer {
    /// A file aside in `folder` with room for so many bytes.
    pub fn prepare(folder: &Path, capacity: u64) -> io::Result<Self> {
        let number = ASIDE.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("segment-{number}.new"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, capacity) {
            // Where space can't be had before it is needed, a write may meet a full disk: the log ends then, and recovers.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(error) => {
                let _ = fs::remove_file(&path);
                return Err(error.into());
            }
        }
        Ok(Self {
            file: Arc::new(file),
            path,
            len: 0,
        })
    }

    /// Gives it its head and its name; where it is then.
    pub fn begin(mut self, folder: &Path, head: &SegmentHead) -> io::Result<(Self, PathBuf)> {
        self.append(&write_segment_head(head))?;
        let path = folder.join(name(head.base));
        fs::rename(&self.path, &path)?;
        self.path.clone_from(&path);
        Ok((self, path))
    }

    /// Appends all of it with as few calls as the system allows, mostly one, or nothing. Where it begins.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<u32> {
        let begin = self.len;
        let end = u32::try_from(u64::from(begin) + bytes.len() as u64)
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if let Err(error) = self.file.write_all_at(bytes, u64::from(begin)) {
            // A part may be there; what follows must not come behind it.
            ftruncate(&self.file, u64::from(begin))?;
            return Err(error);
        }
        self.len = end;
        Ok(begin)
    }

    /// The file, to be read and synced.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Bytes written.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Writer {
    /// One that was never begun leaves nothing behind.
    fn drop(&mut self) {
        if self
            .path
            .extension()
            .is_some_and(|extension| extension == "new")
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The name of the segment of this base.
pub fn name(base: i64) -> String {
    format!("{base:020}.{EXTENSION}")
}

/// The base in a segment's name; `None`: it is no segment.
pub fn base_of(path: &Path) -> Option<i64> {
    number_of(path, EXTENSION)
}

/// The offset in a name that ends like this.
pub(super) fn number_of(path: &Path, extension: &str) -> Option<i64> {
    let stem = path.file_stem()?.to_str()?;
    let is_number = path.extension()? == extension
        && stem.len() == 20
        && stem.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| stem.parse().ok()).flatten()
}

/// The files of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFiles {
    /// Its base.
    pub base: i64,
    /// Its records.
    pub log: PathBuf,
    /// Its index, if it has one.
    pub index: Option<PathBuf>,
}

/// The segments in a class's folder, the lowest base first.
pub fn segments(folder: &Path) -> io::Result<Vec<SegmentFiles>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let log = entry?.path();
        if let Some(base) = base_of(&log) {
            let index = Some(log.with_extension("idx")).filter(|index| index.exists());
            all.push(SegmentFiles { base, log, index });
        }
    }
    all.sort_unstable_by_key(|segment| segment.base);
    Ok(all)
}

/// Opens a segment to read it; of a damaged head only the base is known, from its name. `None`: it is shorter than a head, so there is
/// nothing in it.
pub fn open_segment(path: &Path, base: i64) -> io::Result<Option<(File, SegmentHead)>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = [0; SEGMENT_HEAD_BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let head = read_segment_head(&bytes).unwrap_or_else(|fault| {
        tracing::error!(segment = %path.display(), %fault, "the head of a segment of the log is damaged");
        SegmentHead {
            base,
            before: 0,
            boot: [0; 16],
            created_us: 0,
        }
    });
    Ok(Some((file, head)))
}

/// Overwrites `out` with the bytes from `at` on: so many, or as many as there are.
pub fn read_at(file: &File, at: u64, bytes: usize, out: &mut Vec<u8>) -> io::Result<()> {
    out.resize(bytes, 0);
    let mut filled = 0;
    while filled < bytes {
        match file.read_at(&mut out[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                out.clear();
                return Err(error);
            }
        }
    }
    out.truncate(filled);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(base: i64) -> SegmentHead {
        SegmentHead {
            base,
            before: 0,
            boot: [7; 16],
            created_us: 1,
        }
    }

    #[test]
    fn what_is_made_ready_has_no_name_until_it_begins_and_leaves_nothing_if_it_never_does() {
        let folder = tempfile::tempdir().unwrap();
        let files = || fs::read_dir(folder.path()).unwrap().count();
        drop(Writer::prepare(folder.path(), 1 << 16).unwrap());
        assert_eq!(files(), 0);
        let writer = Writer::prepare(folder.path(), 1 << 16).unwrap();
        let (writer, path) = writer.begin(folder.path(), &head(42)).unwrap();
        assert_eq!(writer.len() as usize, SEGMENT_HEAD_BYTES);
        drop(writer);
        assert_eq!(base_of(&path), Some(42));
        assert_eq!(files(), 1);
        let (file, found) = open_segment(&path, 42).unwrap().unwrap();
        assert_eq!(found, head(42));
        assert_eq!(file.metadata().unwrap().len() as usize, SEGMENT_HEAD_BYTES);
    }

    #[test]
    fn a_file_without_a_whole_head_is_no_segment_and_one_with_a_damaged_head_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name(9));
        fs::write(&path, [0; 10]).unwrap();
        assert!(open_segment(&path, 9).unwrap().is_none());
        fs::write(&path, [0; 100]).unwrap();
        let (_, head) = open_segment(&path, 9).unwrap().unwrap();
        assert_eq!((head.base, head.before), (9, 0));
    }

    #[test]
    fn other_names_are_no_segments() {
        for other in [
            "1.log",
            "00000000000000000001.idx",
            "0000000000000000000x.log",
            "-0000000000000000001.log",
        ] {
            assert_eq!(base_of(Path::new(other)), None, "{other}");
        }
    }
}
