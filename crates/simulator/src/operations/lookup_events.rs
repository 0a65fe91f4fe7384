//! LookupEvents of CloudTrail: the events of the caller's account in one Region, the newest first.
//!
//! As in AWS, an account may look up twice a second in each Region, and one attribute can be asked for. Choices where
//! AWS's documentation is silent: a start more than 90 days ago is accepted and finds what there is, and a refused
//! lookup counts if the limit did not refuse it.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    OperationContext,
    page::{PageRequest, with_next_token},
};
use crate::{api_error::ApiError, member_reader::MemberReader, text_rule, trail::TrailEvent};

const ATTRIBUTES: [&str; 8] = [
    "EventId",
    "EventName",
    "ReadOnly",
    "Username",
    "ResourceType",
    "ResourceName",
    "EventSource",
    "AccessKeyId",
];

struct LookupInput {
    /// Key and value.
    attribute: Option<(String, String)>,
    start: Option<OffsetDateTime>,
    end: Option<OffsetDateTime>,
    /// Insights are another category, which is empty here.
    insights: bool,
    page: PageRequest,
}

pub(super) fn run(context: &mut OperationContext<'_>, members: MemberReader<'_>) -> Result<Value, ApiError> {
    if !context.trail.admits(context.caller, context.now) {
        return Err(ApiError::new("ThrottlingException", "Rate exceeded"));
    }
    let input = read(members)?;
    let events: BTreeMap<String, Arc<TrailEvent>> = context
        .trail
        .events(context.caller, context.now)
        .into_iter()
        .filter(|event| input.accepts(event))
        .map(|event| (event.position(), event))
        .collect();
    let (account, region) = (&context.caller.account, &context.caller.region);
    let list = (
        ("events", account, region),
        (&input.attribute, input.start, input.end, input.insights),
    );
    let (page, next) = input
        .page
        .cut(&list, events.keys().cloned())
        .map_err(|_| ApiError::new("InvalidNextTokenException", "The token does not belong to this lookup."))?;
    let found: Vec<_> = page
        .iter()
        .filter_map(|position| events.get(position))
        .map(|event| event.describe())
        .collect();
    Ok(with_next_token(json!({"Events": found}), next))
}

fn read(mut members: MemberReader<'_>) -> Result<LookupInput, ApiError> {
    let mut attributes = Vec::new();
    members.structures("LookupAttributes", |attribute| {
        let key = attribute.required_text("AttributeKey", &text_rule::NON_EMPTY)?;
        attributes.push((
            key,
            attribute.required_text("AttributeValue", &text_rule::LOOKUP_VALUE)?,
        ));
        Ok(())
    })?;
    let (start, end) = (members.time("StartTime")?, members.time("EndTime")?);
    let category = members.text("EventCategory", &text_rule::ANY)?;
    let page = PageRequest::read_events(&mut members)?;
    members.finish()?;
    if attributes.len() > 1 || attributes.iter().any(|(key, _)| !ATTRIBUTES.contains(&key.as_str())) {
        let message = format!(
            "LookupAttributes must have one item with one of the keys {}.",
            ATTRIBUTES.join(", ")
        );
        return Err(ApiError::new("InvalidLookupAttributesException", message));
    }
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        let message = "StartTime is after EndTime.";
        return Err(ApiError::new("InvalidTimeRangeException", message));
    }
    if category.as_deref().is_some_and(|category| category != "insight") {
        let message = "EventCategory must be insight.";
        return Err(ApiError::new("InvalidEventCategoryException", message));
    }
    Ok(LookupInput {
        attribute: attributes.pop(),
        start,
        end,
        insights: category.is_some(),
        page,
    })
}

impl LookupInput {
    fn accepts(&self, event: &TrailEvent) -> bool {
        let has_attribute = |(key, value): &(String, String)| event.attribute(key).as_ref() == Some(value);
        !self.insights
            && self.start.is_none_or(|start| event.at >= start)
            && self.end.is_none_or(|end| event.at <= end)
            && self.attribute.as_ref().is_none_or(has_attribute)
    }
}
