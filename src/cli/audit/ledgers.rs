//! Reads ledgers from the service, without believing it: the stream of an export, and which ledgers there are.

use tonic::Streaming;

use super::proof::hashes;
use super::show::wrong_answer;
use crate::cli::connection::{AuditClient, Connection};
use crate::cli::failure::Stop;
use crate::client::Error;
use crate::ledger::Hash;
use crate::ledger::export::Header;
use crate::proto::v1::export_audit_entries_response::Part;
use crate::proto::v1::watch_audit_entries_response::Event;
use crate::proto::v1::{
    ExportAuditEntriesRequest, ExportAuditEntriesResponse, ExportHeader, ExportLines, WatchAuditEntriesRequest,
};

/// A ledger as it streams in.
pub(super) struct Ledger<'a> {
    connection: &'a Connection,
    stream: Streaming<ExportAuditEntriesResponse>,
    header: Header,
    next_index: u64,
}

/// Why a ledger does not stream in.
pub(super) enum NotOpened {
    /// The service says why.
    Refused(Error),
    /// What it sent breaks the contract.
    Broken(Stop),
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<NotOpened> for Stop {
    fn from(not_opened: NotOpened) -> Self {
        match not_opened {
            NotOpened::Refused(error) => error.into(),
            NotOpened::Broken(stop) => stop,
        }
    }
}

impl<'a> Ledger<'a> {
    pub(super) async fn open(
        connection: &'a Connection,
        request: ExportAuditEntriesRequest,
    ) -> Result<Self, NotOpened> {
        let account_id = request.account_id.clone();
        let mut stream = connection
            .stream(request, async |mut client: AuditClient, request| {
                client.export_audit_entries(request).await
            })
            .await?;
        let first = connection.next(&mut stream).await?;
        let broken = |what| NotOpened::Broken(wrong_answer(what));
        let Some(Part::Header(header)) = first.and_then(|message| message.part) else {
            return Err(broken("the export that the service sent does not begin with a header"));
        };
        let header = read_header(header, &account_id)
            .ok_or_else(|| broken("the header of the export that the service sent breaks its rules"))?;
        Ok(Self {
            connection,
            stream,
            next_index: header.start_index,
            header,
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The next entries with the hashes that the store has for them; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(String, Hash)>>, Stop> {
        let message = self.connection.next(&mut self.stream).await?;
        match message.map(|message| message.part) {
            Some(Some(Part::Lines(lines))) => self.lines(lines).map(Some),
            None if self.next_index == self.header.end_index => Ok(None),
            None => Err(wrong_answer(&format!(
                "the service ended the export at entry {} of {}",
                self.next_index, self.header.end_index
            ))),
            Some(_) => Err(wrong_answer(
                "the service sent something in the export that belongs elsewhere",
            )),
        }
    }

    fn lines(&mut self, lines: ExportLines) -> Result<Vec<(String, Hash)>, Stop> {
        let (hashes, rest) = lines.leaf_hashes.as_chunks::<32>();
        let count = lines.lines.len();
        let room = self.header.end_index - self.next_index;
        if lines.start_index != self.next_index || !rest.is_empty() || hashes.len() != count || count as u64 > room {
            return Err(wrong_answer(
                "the service sent entries in the export that do not go on from those before",
            ));
        }
        self.next_index += count as u64;
        Ok(lines.lines.into_iter().zip(hashes.iter().copied()).collect())
    }
}

fn read_header(header: ExportHeader, account_id: &str) -> Option<Header> {
    let checkpoint = header.checkpoint?;
    if header.start_index > header.end_index {
        return None;
    }
    Some(Header {
        account: account_id.parse().ok()?,
        start_index: header.start_index,
        end_index: header.end_index,
        checkpoint: checkpoint.note,
        left_hashes: hashes(&header.left_hashes)?,
        consistency_proof: hashes(&header.consistency_proof)?,
    })
}

/// The accounts that have a ledger: a watch begins by naming them.
pub(super) async fn accounts(connection: &Connection) -> Result<Vec<String>, Stop> {
    let request = WatchAuditEntriesRequest::default();
    let mut stream = connection
        .stream(request, async |mut client: AuditClient, request| {
            client.watch_audit_entries(request).await
        })
        .await?;
    let first = connection.next(&mut stream).await?;
    match first.and_then(|message| message.event) {
        Some(Event::Started(started)) => {
            let with_entries = started.positions.into_iter().filter(|position| position.next_index > 0);
            Ok(with_entries.map(|position| position.account_id).collect())
        }
        _ => Err(wrong_answer(
            "the watch that the service sent does not begin with its places",
        )),
    }
}
