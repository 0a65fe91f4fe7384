//! CloudTrail's events about sharing, with LookupEvents. `record` reads one event.
//!
//! An account has two lookups a second in each Region, for all who look up. So nobody looks up here on behalf of a caller.

mod record;

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_smithy_types::DateTime;

use super::{
    WorkSpaces,
    call::{span, unreadable},
    not_configured,
    pages::PageCursor,
};
use crate::domain::{AccountId, AwsResponse, ReadEvent, Region, Timestamp};

/// The name of the events.
const EVENT_NAME: &str = "UpdateWorkspaceImagePermission";

/// The maximum page size of the API model.
const PAGE_SIZE: i32 = 50;

/// A page of events, the newest first. Refused calls are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events of successful calls.
    pub events: Vec<ReadEvent>,
    /// The number of events that this build cannot read.
    pub unreadable: usize,
}

impl WorkSpaces {
    /// Reads the next page of the events about sharing of an account and Region, from `first` to `last`, both included: one call.
    pub async fn next_events(
        &self,
        account: AccountId,
        region: &Region,
        (first, last): (Timestamp, Timestamp),
        cursor: &mut PageCursor,
    ) -> AwsResponse<EventPage> {
        let Some(client) = self.client(account, region) else {
            return not_configured();
        };
        let attribute = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::EventName)
            .attribute_value(EVENT_NAME)
            .build();
        let span = span!("CloudTrail", "LookupEvents", client);
        let answer = client.call_cloud_trail(span, |client, interceptor| {
            let request = client
                .lookup_events()
                .set_lookup_attributes(attribute.ok().map(|attribute| vec![attribute]))
                .start_time(seconds(first))
                .end_time(seconds(last))
                .max_results(PAGE_SIZE)
                .set_next_token(cursor.token());
            request.customize().interceptor(interceptor).send()
        });
        let AwsResponse { aws_request_id, result } = answer.await;
        let result = result.and_then(|page| {
            cursor.advance(page.next_token())?;
            // An answer without a list is not one without events.
            let found = page.events.ok_or_else(unreadable)?;
            let mut read = EventPage::default();
            for event in found {
                match event
                    .cloud_trail_event()
                    .map(|text| record::read(text, account, region))
                {
                    Some(Ok(Some(event))) => read.events.push(event),
                    Some(Ok(None)) => {}
                    Some(Err(record::Unreadable)) | None => read.unreadable += 1,
                }
            }
            Ok(read)
        });
        AwsResponse { aws_request_id, result }
    }
}

/// CloudTrail's times are whole seconds.
fn seconds(time: Timestamp) -> DateTime {
    DateTime::from_secs(time.to_offset_date_time().unix_timestamp())
}
