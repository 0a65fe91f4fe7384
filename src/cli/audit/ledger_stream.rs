//! Reads ledgers from the service without trusting it: the stream of an export, and the list of ledgers.

use tonic::Streaming;

use super::{proof::hashes, show::invalid_response};
use crate::{
    cli::{
        connection::{AuditStub, Client},
        failure::Stop,
    },
    client::Error,
    domain::AccountId,
    ledger::{Hash, export::Header},
    proto::v1::{
        ExportAuditEntriesRequest, ExportAuditEntriesResponse, ExportHeader, ExportLines, WatchAuditEntriesRequest,
        WatchPosition, export_audit_entries_response::Part, watch_audit_entries_response::Event,
    },
};

/// The stream of an export. Checks that entries arrive in order and complete.
pub(super) struct LedgerStream<'a> {
    client: &'a Client,
    stream: Streaming<ExportAuditEntriesResponse>,
    header: Header,
    next_index: u64,
}

/// Why the stream cannot be opened.
pub(super) enum OpenError {
    /// The service answered with an error.
    Refused(Error),
    /// The service sent an invalid response.
    Broken(Stop),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<OpenError> for Stop {
    fn from(open_error: OpenError) -> Self {
        match open_error {
            OpenError::Refused(error) => error.into(),
            OpenError::Broken(stop) => stop,
        }
    }
}

impl<'a> LedgerStream<'a> {
    pub(super) async fn open(client: &'a Client, request: ExportAuditEntriesRequest) -> Result<Self, OpenError> {
        let account_id = request.account_id.clone();
        let mut stream = client
            .stream(request, async |mut stub: AuditStub, request| {
                stub.export_audit_entries(request).await
            })
            .await?;
        let first = client.next(&mut stream).await?;
        let broken = |what| OpenError::Broken(invalid_response(what));
        let Some(Part::Header(header)) = first.and_then(|message| message.part) else {
            return Err(broken("the export of the service does not begin with a header"));
        };
        let header =
            read_header(header, &account_id).ok_or_else(|| broken("the header of the service's export is invalid"))?;
        Ok(Self {
            client,
            stream,
            next_index: header.start_index,
            header,
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The next entries with their hashes in the store; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(String, Hash)>>, Stop> {
        let message = self.client.next(&mut self.stream).await?;
        match message.map(|message| message.part) {
            Some(Some(Part::Lines(lines))) => self.lines(lines).map(Some),
            None if self.next_index == self.header.end_index => Ok(None),
            None => Err(invalid_response(&format!(
                "the service ended the export at entry {} of {}",
                self.next_index, self.header.end_index
            ))),
            Some(_) => Err(invalid_response("the service sent an unexpected message in the export")),
        }
    }

    fn lines(&mut self, lines: ExportLines) -> Result<Vec<(String, Hash)>, Stop> {
        let (hashes, rest) = lines.leaf_hashes.as_chunks::<32>();
        let count = lines.lines.len();
        let room = self.header.end_index - self.next_index;
        if lines.start_index != self.next_index || !rest.is_empty() || hashes.len() != count || count as u64 > room {
            return Err(invalid_response(
                "the service sent entries in the export that do not continue the previous ones",
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

/// The accounts that have a ledger.
pub(super) async fn accounts(client: &Client) -> Result<Vec<String>, Stop> {
    let positions = positions(client, Vec::new()).await?;
    let with_entries = positions.into_iter().filter(|position| position.next_index > 0);
    Ok(with_entries.map(|position| position.account_id).collect())
}

/// The number of entries in a ledger now, also of those without a checkpoint.
pub(super) async fn tree_size(client: &Client, account: AccountId) -> Result<u64, Stop> {
    let positions = positions(client, vec![account.to_string()]).await?;
    Ok(positions
        .iter()
        .map(|position| position.next_index)
        .max()
        .unwrap_or_default())
}

/// The ledgers with their sizes. The first message of a watch lists them.
async fn positions(client: &Client, account_ids: Vec<String>) -> Result<Vec<WatchPosition>, Stop> {
    let request = WatchAuditEntriesRequest {
        account_ids,
        ..WatchAuditEntriesRequest::default()
    };
    let mut stream = client
        .stream(request, async |mut stub: AuditStub, request| {
            stub.watch_audit_entries(request).await
        })
        .await?;
    let first = client.next(&mut stream).await?;
    match first.and_then(|message| message.event) {
        Some(Event::Started(started)) => Ok(started.positions),
        _ => Err(invalid_response(
            "the watch of the service does not begin with its positions",
        )),
    }
}
