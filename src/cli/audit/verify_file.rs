//! `audit verify --export`: offline, with a block of the file in memory.

use std::{
    fs::File,
    io::{BufRead, BufReader, Error, ErrorKind, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    proof::TAMPERED,
    verifier_keys::unreadable,
    verify::{self, VerifyArgs, failure},
};
use crate::{
    cli::{
        console::Console,
        failure::{Exit, Failure, Stop},
        options::ClientOptions,
        progress::ProgressMeter,
    },
    ledger::{export::Header, verify::Verifier},
};

const BUFFER: usize = 1 << 20;
/// The lines that are verified together: about a thousand entries, so that each processor has some.
const BLOCK: usize = 1 << 20;
/// 64 MiB, far longer than any line of an export.
const MAX_LINE_BYTES: u64 = 64 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

pub(in crate::cli) fn verify(options: &ClientOptions, args: VerifyArgs, console: &mut Console<'_>) -> Result<(), Stop> {
    let path = args.export.clone().unwrap_or_default();
    let mut lines = LineReader::open(&path)?;
    let first = lines.next_line()?.unwrap_or_default().to_owned();
    let header = Header::parse(first.trim_ascii_end()).ok();
    let older = args.against(header.as_ref().map(|header| header.account))?;
    let mut verifier = Verifier::new(args.keys(), older);
    let progress = ProgressMeter::of(console, &format!("verifying {}", path.display()), "entries");
    verifier.lines(&first).map_err(|wrong| failure(&wrong))?;
    progress.total(verifier.progress().total);
    while let Some(block) = lines.next_block()? {
        verifier.lines(block).map_err(|wrong| failure(&wrong))?;
        progress.done(verifier.progress().done);
    }
    let verified = verifier.finish().map_err(|wrong| failure(&wrong))?;
    drop(progress);
    let checkpoint = header.map(|header| header.checkpoint).unwrap_or_default();
    verify::conclude(options.output, &args, &verified, None, &checkpoint, console)
}

/// Reads a file line by line, plain or gzip. A line has at most 64 MiB.
pub struct LineReader<'a> {
    path: &'a Path,
    reader: Box<dyn BufRead>,
    lines: Vec<u8>,
}

impl<'a> LineReader<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &'a Path) -> Result<Self, Failure> {
        let reader = reader(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self {
            path,
            reader,
            lines: Vec::new(),
        })
    }

    /// Reads the next line, with its line feed; `None` after the last.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what was compressed.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.next(1)
    }

    /// Reads the next lines, a block of them; `None` after the last.
    fn next_block(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.next(BLOCK)
    }

    /// Reads lines until there are as many bytes, or the file ends.
    fn next(&mut self, bytes: usize) -> Result<Option<&[u8]>, Failure> {
        self.lines.clear();
        while self.lines.len() < bytes {
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES);
            let read = limited.read_until(b'\n', &mut self.lines);
            if read.map_err(|error| damaged(self.path, &error))? == 0 {
                break;
            }
        }
        Ok((!self.lines.is_empty()).then_some(&self.lines))
    }
}

fn reader(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
        let decoder = MultiGzDecoder::new(file);
        return Ok(Box::new(BufReader::with_capacity(BUFFER, decoder)));
    }
    Ok(Box::new(file))
}

/// A file that cannot be decompressed has been changed. Any other error is a read error.
fn damaged(path: &Path, error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            let what = format!("{} is damaged: {error}", path.display());
            Failure::new(Exit::Tampered, what, TAMPERED)
        }
        _ => unreadable(path, error),
    }
}
