//! DescribeWorkspaceImages: images in one Region that the caller owns, or that are shared with the caller.
//!
//! The default ImageType is OWNED. Ids of images that the caller cannot see are ignored: the API model has no "not
//! found" for this operation.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    OperationContext,
    page::{PageRequest, with_next_token},
};
use crate::{api_error::ApiError, image::Image, member_reader::MemberReader, text_rule};

struct DescribeInput {
    image_ids: Option<BTreeSet<String>>,
    shared: bool,
    page: PageRequest,
}

pub(super) fn run(context: &mut OperationContext<'_>, members: MemberReader<'_>) -> Result<Value, ApiError> {
    let input = read(members)?;
    let region = &context.caller.region;
    let ids = context
        .inventory
        .images_in(region)
        .filter(|image| input.image_ids.as_ref().is_none_or(|ids| ids.contains(&image.image_id)))
        .filter(|image| is_listed(context, image, input.shared))
        .map(|image| image.image_id.as_str());
    let list = (
        "images",
        &context.caller.account,
        region,
        input.shared,
        &input.image_ids,
    );
    let (ids, next) = input.page.cut(&list, ids)?;
    let images = ids
        .iter()
        .filter_map(|id| context.inventory.image(region, id))
        .map(|image| image.describe(context.now));
    Ok(with_next_token(json!({"Images": images.collect::<Vec<_>>()}), next))
}

fn read(mut members: MemberReader<'_>) -> Result<DescribeInput, ApiError> {
    let image_ids = members.texts("ImageIds", 1..=25, &text_rule::IMAGE_ID)?;
    let image_type = members.choice("ImageType", &["OWNED", "SHARED"])?;
    let page = PageRequest::read(&mut members)?;
    members.finish()?;
    let image_ids = image_ids.map(|ids| ids.into_iter().collect());
    Ok(DescribeInput {
        image_ids,
        shared: image_type.as_deref() == Some("SHARED"),
        page,
    })
}

fn is_listed(context: &OperationContext<'_>, image: &Image, shared: bool) -> bool {
    let account = &context.caller.account;
    match shared {
        false => image.owner == *account,
        true => context
            .inventory
            .shared_with(image, context.behind, context.now)
            .contains(account),
    }
}
