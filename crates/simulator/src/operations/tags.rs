//! DescribeTags, CreateTags and DeleteTags, for images only.
//!
//! Keys and values must not begin with `aws:` or `aws:workspaces:`, as the Administration Guide says.
//!
//! Choices where AWS's documentation is silent: a tag with a known key gets the new value, the removal of an absent key
//! succeeds, and a reserved prefix is InvalidParameterValuesException.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::OperationContext;
use crate::{api_error::ApiError, image::Image, member_reader::MemberReader, settings::MAX_TAGS, text_rule};

/// The prefix that AWS reserves. It includes `aws:workspaces:`.
const RESERVED: &str = "aws:";

/// Reads the member Tags; empty if it is absent. A tag without a value has the empty one.
pub(super) fn read(members: &mut MemberReader<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    members.structures("Tags", |tag| {
        let key = tag.required_text("Key", &text_rule::TAG_KEY)?;
        tags.insert(key, tag.text("Value", &text_rule::TAG_VALUE)?.unwrap_or_default());
        Ok(())
    })?;
    Ok(tags)
}

/// AWS's list of structures `Tag`.
pub(super) fn list(tags: &BTreeMap<String, String>) -> Value {
    tags.iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect()
}

/// Checks the number of tags, and their prefixes.
pub(super) fn check(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let is_reserved = |text: &String| text.to_ascii_lowercase().starts_with(RESERVED);
    if let Some((key, _)) = tags.iter().find(|(key, value)| is_reserved(key) || is_reserved(value)) {
        return Err(ApiError::invalid_parameter(format!(
            "Tag {key}: keys and values must not begin with {RESERVED}"
        )));
    }
    match tags.len() <= MAX_TAGS {
        true => Ok(()),
        false => Err(ApiError::new(
            "ResourceLimitExceededException",
            format!("An image has at most {MAX_TAGS} tags."),
        )),
    }
}

pub(super) fn describe(context: &mut OperationContext<'_>, mut members: MemberReader<'_>) -> Result<Value, ApiError> {
    let image_id = members.required_text("ResourceId", &text_rule::NON_EMPTY)?;
    members.finish()?;
    let image = context.owned_image(&image_id)?;
    Ok(json!({"TagList": list(&image.tags)}))
}

pub(super) fn create(context: &mut OperationContext<'_>, mut members: MemberReader<'_>) -> Result<Value, ApiError> {
    let image_id = members.required_text("ResourceId", &text_rule::NON_EMPTY)?;
    let tags = read(&mut members)?;
    members.require("Tags");
    members.finish()?;
    let mut all = context.owned_image(&image_id)?.tags.clone();
    all.extend(tags);
    check(&all)?;
    change(context, &image_id, |image| image.tags = all)
}

pub(super) fn delete(context: &mut OperationContext<'_>, mut members: MemberReader<'_>) -> Result<Value, ApiError> {
    let image_id = members.required_text("ResourceId", &text_rule::NON_EMPTY)?;
    let keys = members.texts("TagKeys", 0..=usize::MAX, &text_rule::NON_EMPTY)?;
    members.require("TagKeys");
    members.finish()?;
    context.owned_image(&image_id)?;
    change(context, &image_id, |image| {
        image
            .tags
            .retain(|key, _| !keys.iter().flatten().any(|gone| gone == key));
    })
}

fn change(
    context: &mut OperationContext<'_>,
    image_id: &str,
    change: impl FnOnce(&mut Image),
) -> Result<Value, ApiError> {
    context.inventory.change_image(&context.caller.region, image_id, change);
    Ok(json!({}))
}
