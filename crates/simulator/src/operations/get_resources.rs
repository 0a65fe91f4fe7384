//! GetResources of the Resource Groups Tagging API: the caller's tagged images in one Region.
//!
//! As in AWS, a list of ARNs excludes all other members but the filters of tags, an unknown ARN is left out, and an image without
//! tags is not listed. One page has all tags of its images: TagsPerPage is read and has no effect.

use serde_json::{Value, json};

use super::{OperationContext, page::PageRequest, tags};
use crate::{api_error::ApiError, image::Image, member_reader::MemberReader, text_rule};

struct GetInput {
    arns: Option<Vec<String>>,
    types: Option<Vec<String>>,
    filters: Vec<TagFilter>,
    page: PageRequest,
}

/// The key must be there, with one of the values if there are any.
#[derive(Hash)]
struct TagFilter {
    key: String,
    values: Vec<String>,
}

pub(super) fn run(context: &mut OperationContext<'_>, members: MemberReader<'_>) -> Result<Value, ApiError> {
    let input = read(members)?;
    let (account, region) = (&context.caller.account, &context.caller.region);
    let arn = |image: &Image| {
        let partition = context.caller.partition.name();
        format!(
            "arn:{partition}:workspaces:{region}:{account}:workspaceimage/{}",
            image.image_id
        )
    };
    let ids = context
        .inventory
        .images_in(region)
        .filter(|image| image.owner == *account && !image.tags.is_empty())
        .filter(|image| input.arns.as_ref().is_none_or(|arns| arns.contains(&arn(image))))
        .filter(|_| {
            input
                .types
                .as_ref()
                .is_none_or(|types| types.iter().any(|name| is_image(name)))
        })
        .filter(|image| input.filters.iter().all(|filter| filter.accepts(image)))
        .map(|image| image.image_id.as_str());
    let list = ("resources", account, region, &input.arns, &input.types, &input.filters);
    let (ids, next) = input.page.cut(&list, ids)?;
    let found = ids
        .iter()
        .filter_map(|id| context.inventory.image(region, id))
        .map(|image| json!({"ResourceARN": arn(image), "Tags": tags::list(&image.tags)}));
    Ok(json!({
        "ResourceTagMappingList": found.collect::<Vec<_>>(),
        "PaginationToken": next.unwrap_or_default(),
    }))
}

fn read(mut members: MemberReader<'_>) -> Result<GetInput, ApiError> {
    let arns = members.texts("ResourceARNList", 1..=100, &text_rule::RESOURCE_ARN)?;
    let types = members.texts("ResourceTypeFilters", 0..=100, &text_rule::RESOURCE_TYPE)?;
    let mut filters = Vec::new();
    members.structures("TagFilters", |filter| {
        let key = filter.required_text("Key", &text_rule::TAG_KEY)?;
        let values = filter
            .texts("Values", 0..=20, &text_rule::TAG_VALUE)?
            .unwrap_or_default();
        filters.push(TagFilter { key, values });
        Ok(())
    })?;
    let tags_per_page = members.number("TagsPerPage", 100..=500)?;
    let is_paged = tags_per_page.is_some() || members.has("ResourcesPerPage") || members.has("PaginationToken");
    let page = PageRequest::read_resources(&mut members)?;
    members.finish()?;
    if arns.is_some() && (is_paged || types.is_some()) {
        return Err(ApiError::new(
            "InvalidParameterException",
            "ResourceARNList excludes ResourceTypeFilters, ResourcesPerPage, TagsPerPage and PaginationToken.",
        ));
    }
    Ok(GetInput {
        arns,
        types,
        filters,
        page,
    })
}

fn is_image(resource_type: &str) -> bool {
    matches!(resource_type, "workspaces" | "workspaces:workspaceimage")
}

impl TagFilter {
    fn accepts(&self, image: &Image) -> bool {
        let value = image.tags.get(&self.key);
        value.is_some_and(|value| self.values.is_empty() || self.values.contains(value))
    }
}
