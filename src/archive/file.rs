//! Writes and verifies archive files. A file has the entries of an account in a month, as a compressed export.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};

use crate::{
    audit::{Audit, ExportRange},
    domain::PolicyDigest,
    ledger::{
        Hash, VerifierKey,
        export::{self, Header, PolicySetText},
        verify::Verifier,
    },
    store::{archive::ArchiveRange, audit::Archived, policy_sets},
};

use super::Error;

/// Size of the read buffer, in bytes.
const BUFFER_BYTES: usize = 1 << 16;

/// Writes the entries of `range` into a file of the folder, and the checkpoint that covers them into another. A file gets its
/// final name only after it is complete and synced to disk. `written` is called with the number of entries so far.
pub(super) async fn write(
    audit: &Audit,
    folder: &Path,
    range: &ArchiveRange,
    written: impl FnMut(u64),
) -> Result<PathBuf, Error> {
    let path = folder.join(format!("{}.jsonl.gz", range.account));
    let failed = |source| Error::File {
        file: path.clone(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    check_free(&path, range, audit.keys.verifiers())?;
    let unfinished = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut out = GzEncoder::new(BufWriter::new(unfinished), Compression::default());
    export(audit, folder, range, &mut out, written, &failed).await?;
    let unfinished = out.finish().and_then(|out| Ok(out.into_inner()?)).map_err(failed)?;
    persist(unfinished, &path).map_err(failed)?;
    Ok(path)
}

/// Only a file of the same entries, left by an interrupted run, may be overwritten. Another file may be the only copy of older
/// entries of this month, or of another database.
fn check_free(path: &Path, range: &ArchiveRange, keys: &[VerifierKey]) -> Result<(), Error> {
    if fs::symlink_metadata(path).is_ok() && verify(path, range, keys, |_| ()).is_err() {
        return Err(Error::FileExists { file: path.into() });
    }
    Ok(())
}

/// Syncs a complete file and gives it its final name.
fn persist(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

async fn export(
    audit: &Audit,
    folder: &Path,
    range: &ArchiveRange,
    out: &mut impl Write,
    mut written: impl FnMut(u64),
    failed: &impl Fn(io::Error) -> Error,
) -> Result<(), Error> {
    let export_failed = |source| Error::Export {
        account: range.account,
        source,
    };
    let range = ExportRange {
        account: range.account,
        start: range.start_index,
        end: Some(range.end_index),
        tree_size: None,
    };
    let (_, header, mut pages) = audit.export(range).await.map_err(export_failed)?;
    let encoding_failed = |error: export::LineError| failed(io::Error::other(error));
    write_note(folder, &header)?;
    let mut text = String::new();
    let mut writer = export::ExportWriter::begin(&header, &mut text).map_err(encoding_failed)?;
    let mut count = 0;
    while let Some(entries) = pages.next().await.map_err(export_failed)? {
        count += entries.len() as u64;
        for entry in entries {
            writer
                .entry(&entry.text, &entry.leaf_hash, &mut text)
                .map_err(encoding_failed)?;
        }
        out.write_all(text.as_bytes()).map_err(failed)?;
        text.clear();
        written(count);
    }
    let digests: Vec<_> = writer.policy_sets().map(PolicyDigest::from).collect();
    let mut texts = policy_sets::texts(&audit.database, &digests)
        .await
        .map_err(|error| export_failed(error.into()))?;
    for digest in digests {
        match texts.remove(&digest) {
            Some(set) => {
                let set = PolicySetText {
                    digest: *digest.as_bytes(),
                    text: set,
                };
                writer.policy_set(&set, &mut text).map_err(encoding_failed)?;
            }
            None => tracing::warn!(
                policy_set = %digest, account_id = %range.account,
                "the text of a policy set is missing, so the archive does not have it"
            ),
        }
    }
    out.write_all(text.as_bytes()).map_err(failed)
}

fn write_note(folder: &Path, header: &Header) -> Result<(), Error> {
    let path = folder.join(format!("{}.checkpoint", header.account));
    let write = || {
        let mut unfinished = tempfile::NamedTempFile::new_in(folder)?;
        unfinished.write_all(header.checkpoint.as_bytes())?;
        persist(unfinished, &path)
    };
    write().map_err(|source| Error::File {
        file: path.clone(),
        source,
    })
}

/// Reads a file back and verifies it as an auditor would. `verified` is called with the number of entries so far. Returns the
/// file's SHA-256.
pub(super) fn verify(
    path: &Path,
    range: &ArchiveRange,
    keys: &[VerifierKey],
    mut verified: impl FnMut(u64),
) -> Result<Hash, Error> {
    let failed = |source| Error::File {
        file: path.into(),
        source,
    };
    let invalid = |source| Error::Invalid {
        file: path.into(),
        source,
    };
    let mut lines = BufReader::with_capacity(BUFFER_BYTES, GzDecoder::new(File::open(path).map_err(failed)?));
    let mut verifier = Verifier::new(keys.to_vec(), None);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        verifier.line(&line).map_err(invalid)?;
        line.clear();
        verified(verifier.progress().done);
    }
    let read = verifier.finish().map_err(invalid)?;
    let found = (read.account, read.start_index, read.end_index);
    if found != (range.account, range.start_index, range.end_index) {
        return Err(failed(io::Error::other(
            "the file has other entries than those of the month",
        )));
    }
    digest(path).map_err(failed)
}

fn digest(path: &Path) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Syncs the folder, so that the names of its files are on disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::File {
            file: folder.into(),
            source,
        })
}

/// The record of a file for the history.
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
