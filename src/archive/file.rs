//! One account's entries of a month, as a verifiable export, compressed.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};

use crate::{
    audit::{Audit, ExportRange},
    ledger::{
        Hash, VerifierKey,
        export::{self, Header},
        verify::Verifier,
    },
    store::{archive::ArchiveRange, audit::Archived},
};

use super::Error;

/// So much is read from a file at once.
const BUFFER: usize = 1 << 16;

/// Writes the entries of `range` into a file of the folder, and the checkpoint that covers them into another. A file has its
/// name only when it is whole and on the disk.
pub(super) async fn write(audit: &Audit, folder: &Path, range: &ArchiveRange) -> Result<PathBuf, Error> {
    let path = folder.join(format!("{}.jsonl.gz", range.account));
    let failed = |source| Error::File {
        file: path.clone(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    check_free(&path, range, audit.keys.verifiers())?;
    let unfinished = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut out = GzEncoder::new(BufWriter::new(unfinished), Compression::default());
    export(audit, folder, range, &mut out, &failed).await?;
    let unfinished = out.finish().and_then(|out| Ok(out.into_inner()?)).map_err(failed)?;
    name(unfinished, &path).map_err(failed)?;
    Ok(path)
}

/// A run that was interrupted may have left the same entries there. Anything else, such as what was archived of this month
/// before, or of another database, may be the only copy, and stays.
fn check_free(path: &Path, range: &ArchiveRange, keys: &[VerifierKey]) -> Result<(), Error> {
    if fs::symlink_metadata(path).is_ok() && verify(path, range, keys).is_err() {
        return Err(Error::Taken { file: path.into() });
    }
    Ok(())
}

/// Gives a file that is whole its name.
fn name(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

async fn export(
    audit: &Audit,
    folder: &Path,
    range: &ArchiveRange,
    out: &mut impl Write,
    failed: &impl Fn(io::Error) -> Error,
) -> Result<(), Error> {
    let of_audit = |source| Error::Export {
        account: range.account,
        source,
    };
    let range = ExportRange {
        account: range.account,
        start: range.start_index,
        end: Some(range.end_index),
        tree_size: None,
    };
    let (_, header, mut pages) = audit.export(range).await.map_err(of_audit)?;
    let unwritable = |error: export::LineError| failed(io::Error::other(error));
    write_note(folder, &header)?;
    let mut text = String::new();
    let mut writer = export::ExportWriter::begin(&header, &mut text).map_err(unwritable)?;
    while let Some(entries) = pages.next().await.map_err(of_audit)? {
        for entry in entries {
            writer
                .entry(&entry.text, &entry.leaf_hash, &mut text)
                .map_err(unwritable)?;
        }
        out.write_all(text.as_bytes()).map_err(failed)?;
        text.clear();
    }
    out.write_all(text.as_bytes()).map_err(failed)
}

fn write_note(folder: &Path, header: &Header) -> Result<(), Error> {
    let path = folder.join(format!("{}.checkpoint", header.account));
    let write = || {
        let mut unfinished = tempfile::NamedTempFile::new_in(folder)?;
        unfinished.write_all(header.checkpoint.as_bytes())?;
        name(unfinished, &path)
    };
    write().map_err(|source| Error::File {
        file: path.clone(),
        source,
    })
}

/// Reads a file back as an auditor would, and tells its SHA-256.
pub(super) fn verify(path: &Path, range: &ArchiveRange, keys: &[VerifierKey]) -> Result<Hash, Error> {
    let failed = |source| Error::File {
        file: path.into(),
        source,
    };
    let wrong = |source| Error::Wrong {
        file: path.into(),
        source,
    };
    let mut lines = BufReader::with_capacity(BUFFER, GzDecoder::new(File::open(path).map_err(failed)?));
    let mut verifier = Verifier::new(keys.to_vec(), None);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        verifier.line(&line).map_err(wrong)?;
        line.clear();
    }
    let verified = verifier.finish().map_err(wrong)?;
    let holds = (verified.account, verified.start_index, verified.end_index);
    if holds != (range.account, range.start_index, range.end_index) {
        return Err(failed(io::Error::other(
            "it holds other entries than those of the month",
        )));
    }
    digest(path).map_err(failed)
}

fn digest(path: &Path) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Makes sure that the names of the files are on the disk too.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::File {
            file: folder.into(),
            source,
        })
}

/// What the history says of a file.
pub(super) fn archived(range: &ArchiveRange, location: String, sha256: Hash) -> Archived {
    Archived {
        account: range.account,
        start_index: range.start_index,
        end_index: range.end_index,
        start_time: range.start_time,
        end_time: range.end_time,
        location,
        sha256,
    }
}
