//! A wallet's zip archive, taken as hostile: two names are read, everything is counted first, and one bad entry refuses the whole.

use std::io::{Cursor, Read as _};

use dizzy_host::port::PortResult;
use zeroize::Zeroizing;
use zip::{CompressionMethod, ZipArchive, read::ZipFile};

use super::{ALIAS_FILE, FILE_LIMIT, Files, PEM_FILE, malformed};

/// Largest archive; those of the Autonomous Database are about 20 KiB.
const ARCHIVE_LIMIT: usize = 1024 * 1024;
/// Most entries; the Autonomous Database puts nine to eleven files into one.
const ENTRY_LIMIT: usize = 64;
/// Most that all entries may say they expand to, read or not.
const EXPANDED_LIMIT: u64 = 4 * 1024 * 1024;
/// Largest ratio of expanded to compressed size. Deflate reaches a thousand, text with keys in it hardly ten.
const RATIO_LIMIT: u64 = 100;

/// Takes the files that count out of an archive.
pub(super) fn files(bytes: &[u8]) -> PortResult<Files> {
    if bytes.len() > ARCHIVE_LIMIT {
        return Err(malformed("the archive is larger than 1 MiB"));
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|_| malformed("it is not a zip archive, or one that is cut off"))?;
    if archive.len() > ENTRY_LIMIT {
        return Err(malformed("the archive has more than 64 entries"));
    }
    // The reader keeps the last of several entries of one name; another reader may keep the first.
    if archive.has_duplicate_names() {
        return Err(malformed("the archive has two entries of one name"));
    }
    let (mut pem, mut aliases, mut expanded) = (None, None, 0_u64);
    for index in 0..archive.len() {
        let mut entry = archive.by_index_raw(index).map_err(|_| malformed("the archive is damaged"))?;
        check(&entry)?;
        expanded = expanded.saturating_add(entry.size());
        if expanded > EXPANDED_LIMIT {
            return Err(malformed("the archive expands to more than 4 MiB"));
        }
        let slot = match entry.name_raw() {
            name if name == PEM_FILE.as_bytes() => &mut pem,
            name if name == ALIAS_FILE.as_bytes() => &mut aliases,
            _ => continue,
        };
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(malformed("an entry is compressed in a way that wallets do not use"));
        }
        drop(entry);
        entry = archive.by_index(index).map_err(|_| malformed("the archive is damaged"))?;
        *slot = Some(read(entry)?);
    }
    let pem = pem.ok_or_else(|| {
        malformed("there is no ewallet.pem at its top level")
            .with_hint("use the zip archive as the database service hands it out")
    })?;
    Ok(Files { pem, aliases: aliases.map(|bytes| bytes.to_vec()) })
}

/// Refuses what has no place in a wallet, whether it would be read or not.
fn check(entry: &ZipFile<'_, Cursor<&[u8]>>) -> PortResult<()> {
    let name = core::str::from_utf8(entry.name_raw()).map_err(|_| malformed("an entry's name is not text"))?;
    let outside =
        name.starts_with(['/', '\\']) || name.contains(':') || name.split(['/', '\\']).any(|part| part == "..");
    if outside || name.is_empty() || name.contains('\0') {
        return Err(malformed("an entry's name leads out of the archive"));
    }
    if entry.is_symlink() {
        return Err(malformed("an entry is a link"));
    }
    if entry.encrypted() {
        return Err(malformed("an entry is encrypted").with_hint("wallets are not; their key is, inside ewallet.pem"));
    }
    if entry.size() / RATIO_LIMIT > entry.compressed_size() {
        return Err(malformed("an entry expands to more than a hundred times its size"));
    }
    Ok(())
}

/// Reads one entry, whatever size it says it has. Its checksum is verified by the reader.
fn read(entry: ZipFile<'_, Cursor<&[u8]>>) -> PortResult<Zeroizing<Vec<u8>>> {
    // With room for all of it from the start, no copy is left behind by growing.
    let mut content = Zeroizing::new(Vec::with_capacity(FILE_LIMIT + 1));
    let limit = u64::try_from(FILE_LIMIT + 1).unwrap_or(u64::MAX);
    entry.take(limit).read_to_end(&mut content).map_err(|_| malformed("the archive is damaged"))?;
    if content.len() > FILE_LIMIT {
        return Err(malformed("a file in it is larger than 256 KiB"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use dizzy_host::port::Kind;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn options() -> SimpleFileOptions {
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
    }

    fn zip(build: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        build(&mut writer);
        writer.finish().unwrap().into_inner()
    }

    fn with(entries: &[(&str, &[u8])]) -> Vec<u8> {
        zip(|writer| {
            for (name, content) in entries {
                writer.start_file(*name, options()).unwrap();
                writer.write_all(content).unwrap();
            }
        })
    }

    fn refusal(archive: &[u8]) -> String {
        let error = files(archive).err().expect("a refusal");
        assert_eq!(error.kind, Kind::Malformed);
        error.what
    }

    const PEM: (&str, &[u8]) = ("ewallet.pem", b"the key");

    #[test]
    fn two_files_are_taken_and_the_rest_is_left() {
        let archive = with(&[("README", b"read me"), PEM, ("tnsnames.ora", b"a=()"), ("cwallet.sso", &[0, 1, 2])]);
        let files = files(&archive).unwrap();
        assert_eq!(files.pem.as_slice(), b"the key");
        assert_eq!(files.aliases.as_deref(), Some(&b"a=()"[..]));
    }

    #[test]
    fn a_wallet_below_a_folder_is_told_to_be_none() {
        assert!(refusal(&with(&[("Wallet_X/ewallet.pem", b"the key")])).contains("no ewallet.pem at its top level"));
    }

    #[test]
    fn names_that_lead_out_refuse_the_whole_archive() {
        for name in ["/etc/passwd", "../ewallet.pem", "a/../../b", "..\\x", "C:\\x", "\\x"] {
            assert!(refusal(&with(&[PEM, (name, b"x")])).contains("leads out"), "{name}");
        }
    }

    #[test]
    fn a_link_refuses_the_whole_archive() {
        let archive = zip(|writer| {
            writer.start_file(PEM.0, options()).unwrap();
            writer.write_all(PEM.1).unwrap();
            writer.add_symlink("tnsnames.ora", "/etc/passwd", options()).unwrap();
        });
        assert!(refusal(&archive).contains("a link"));
    }

    #[test]
    fn two_entries_of_one_name_refuse_the_whole_archive() {
        // The writer refuses to make one, so a name is changed in the bytes; both of its places have the same length.
        let mut archive = with(&[PEM, ("ewallet.pen", b"another key")]);
        let places: Vec<usize> =
            (0..archive.len() - 11).filter(|at| &archive[*at..at + 11] == b"ewallet.pen").collect();
        assert_eq!(places.len(), 2);
        for at in places {
            archive[at + 10] = b'm';
        }
        assert!(refusal(&archive).contains("two entries of one name"));
    }

    #[test]
    fn bombs_are_refused_by_size_ratio_and_count() {
        assert!(refusal(&with(&[PEM, ("tnsnames.ora", &vec![b' '; 200_000])])).contains("a hundred times"));
        assert!(refusal(&vec![0; ARCHIVE_LIMIT + 1]).contains("larger than 1 MiB"));
        let names: Vec<String> = (0..=ENTRY_LIMIT).map(|number| format!("file{number}")).collect();
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        assert!(refusal(&with(&many)).contains("more than 64 entries"));
        // Hardly compressible, so that the limit on the file itself is what counts.
        let noise: Vec<u8> = (0..FILE_LIMIT + 1)
            .scan(1_u32, |state, _| {
                *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Some((*state >> 24).to_le_bytes()[0])
            })
            .collect();
        assert!(refusal(&with(&[("ewallet.pem", &noise)])).contains("larger than 256 KiB"));
    }

    #[test]
    fn what_is_no_archive_or_is_cut_off_is_refused() {
        let archive = with(&[PEM]);
        for end in 0..archive.len() {
            assert!(files(&archive[..end]).is_err(), "{end}");
        }
        assert!(refusal(b"-----BEGIN CERTIFICATE-----").contains("not a zip"));
    }

    #[test]
    fn a_changed_byte_of_the_content_is_noticed() {
        let mut archive = zip(|writer| {
            writer.start_file(PEM.0, options().compression_method(CompressionMethod::Stored)).unwrap();
            writer.write_all(PEM.1).unwrap();
        });
        let at = (0..archive.len()).find(|at| archive[*at..].starts_with(PEM.1)).unwrap();
        archive[at] ^= 1;
        assert!(refusal(&archive).contains("damaged"));
    }
}
