//! From a command line to the configuration it means.
//!
//! Owns reading the file. Must not contain: what any of it means (`resolve`). Driven by `main`.

use std::fs::File as OsFile;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::args::NodeArgs;
use super::file::File;
use super::given::ConfigError;
use super::resolve::{Resolved, resolve};
use super::setting::Typed;
use super::surroundings::Surroundings;

/// Far more than any configuration needs: a wrong file is refused before it fills the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads what flags, environment and file say and resolves it.
pub fn load(flags: &NodeArgs, here: &Surroundings) -> Result<Resolved, ConfigError> {
    let by_env = || {
        here.env
            .get("PUBSUB_CONFIG")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let file = match flags.config.clone().or_else(by_env) {
        Some(path) => File::parse(&path, &read(&path)?)?,
        None => File::default(),
    };
    resolve(&flags.typed(), &Typed::from_env(&here.env), &file, here)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let refuse = |why: String| ConfigError::File {
        path: path.to_owned(),
        line: None,
        why,
    };
    let mut bytes = Vec::new();
    let open = OsFile::open(path).map_err(|error| refuse(format!("cannot be opened: {error}")))?;
    let read = open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!(
            "is larger than {FILE_BYTES_MAX} bytes: no configuration is"
        )));
    }
    String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text".to_owned()))
}
