//! An unpacked wallet: two files of a folder that an operator named. Links are followed, because mounted Kubernetes secrets are links.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use dizzy_host::port::{Kind, PortError, PortResult};
use zeroize::Zeroizing;

use super::{ALIAS_FILE, FILE_LIMIT, Files, PEM_FILE, malformed};

/// Reads the files that count.
pub(super) fn files(folder: &Path) -> PortResult<Files> {
    let Some(pem) = read(&folder.join(PEM_FILE))? else {
        let what = format!("read the wallet: there is no {PEM_FILE} in {}", folder.display());
        return Err(PortError::refused(Kind::NotFound, what).with_hint("unpack the wallet's zip archive there"));
    };
    let aliases = read(&folder.join(ALIAS_FILE))?;
    Ok(Files { pem, aliases: aliases.map(|bytes| bytes.to_vec()) })
}

/// The content of a file; `None` if there is none.
fn read(path: &Path) -> PortResult<Option<Zeroizing<Vec<u8>>>> {
    let trouble = |error: &io::Error| {
        let what = format!("read {}", path.display());
        PortError::refused(Kind::Io, what).with_code(error.kind().to_string())
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(&error)),
    };
    let mut content = Zeroizing::new(Vec::with_capacity(FILE_LIMIT + 1));
    let limit = u64::try_from(FILE_LIMIT + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut content).map_err(|error| trouble(&error))?;
    if content.len() > FILE_LIMIT {
        return Err(malformed("a file of it is larger than 256 KiB"));
    }
    Ok(Some(content))
}
