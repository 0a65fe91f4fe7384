//! The images that an account owns, or that other accounts share with it. They are read from AWS and not stored.

use aws_sdk_workspaces::{
    operation::describe_workspace_images::DescribeWorkspaceImagesOutput,
    types::{ImageType, WorkspaceImage},
};
use aws_smithy_types::DateTime;
use time::OffsetDateTime;

use super::{
    WorkSpaces,
    call::{AccountClient, span, unreadable, within},
    not_configured,
    pages::{PAGE_SIZE, PageCursor, Pages},
};
use crate::domain::{
    AccountId, AwsError, AwsResponse, ImageId, Region, Timestamp,
    image::{Image, Ownership},
};

impl WorkSpaces {
    /// Lists images over all pages of DescribeWorkspaceImages, in AWS's order. At most two lists run for one account and Region
    /// at the same time. The read timeout includes the wait. The request id is that of the last page.
    pub async fn list_images(
        &self,
        account: AccountId,
        region: &Region,
        ownership: Ownership,
    ) -> AwsResponse<Vec<Image>> {
        let Some(client) = self.client(account, region) else {
            return not_configured();
        };
        let list = async {
            let _permit = self.listing_limits.acquire(account, region).await;
            let asked_at = self.clock.monotonic_now();
            let listed = list_images(client, ownership, None).await;
            if let (Ok(images), Ownership::Owned) = (&listed.result, ownership) {
                self.keep_listed(account, region, asked_at, images);
            }
            listed
        };
        within(self.read_timeout, list).await
    }

    /// Reads the next page of the images that the account owns: one call.
    pub async fn next_owned_images(
        &self,
        account: AccountId,
        region: &Region,
        cursor: &mut PageCursor,
    ) -> AwsResponse<Vec<ImageId>> {
        let Some(client) = self.client(account, region) else {
            return not_configured();
        };
        let AwsResponse { aws_request_id, result } = list_page(client, Ownership::Owned, None, cursor.token()).await;
        let result = result.and_then(|page| {
            cursor.advance(page.next_token())?;
            // An answer without a list is not an account without images.
            let images = page.images.ok_or_else(unreadable)?.into_iter();
            let ids = images.map(|image| image.image_id.and_then(|id| id.parse().ok()));
            ids.collect::<Option<_>>().ok_or_else(unreadable)
        });
        AwsResponse { aws_request_id, result }
    }
}

/// The description of one image, if the account owns it, or if it is shared with the account.
pub(super) async fn described(
    client: &AccountClient,
    ownership: Ownership,
    image: &ImageId,
) -> Result<Option<Image>, AwsError> {
    let listed = list_images(client, ownership, Some(image)).await.result?;
    Ok(listed.into_iter().find(|listed| listed.id == image.as_str()))
}

/// Lists all images, or one.
async fn list_images(client: &AccountClient, ownership: Ownership, only: Option<&ImageId>) -> AwsResponse<Vec<Image>> {
    let mut pages = Pages::default();
    let mut images = Vec::new();
    let mut token = None;
    loop {
        let AwsResponse { aws_request_id, result } = list_page(client, ownership, only, token.take()).await;
        let next = result.and_then(|page| {
            // "No such image" is a finding, so it is not concluded from an empty answer such as `{}`.
            if only.is_some() && page.images.is_none() {
                return Err(unreadable());
            }
            let next = pages.next(page.next_token());
            images.extend(page.images.unwrap_or_default().into_iter().map(image));
            next
        });
        let result = match next {
            Ok(Some(next)) => {
                token = Some(next);
                continue;
            }
            Ok(None) => Ok(images),
            Err(error) => Err(error),
        };
        return AwsResponse { aws_request_id, result };
    }
}

async fn list_page(
    client: &AccountClient,
    ownership: Ownership,
    only: Option<&ImageId>,
    token: Option<String>,
) -> AwsResponse<DescribeWorkspaceImagesOutput> {
    let span = span!("DescribeWorkspaceImages", client);
    let page = client.call(span, |client, interceptor| {
        let request = client
            .describe_workspace_images()
            .image_type(match ownership {
                Ownership::Owned => ImageType::Owned,
                Ownership::Shared => ImageType::Shared,
            })
            .set_image_ids(only.map(|image| vec![image.to_string()]))
            .max_results(PAGE_SIZE)
            .set_next_token(token);
        request.customize().interceptor(interceptor).send()
    });
    page.await
}

fn image(image: WorkspaceImage) -> Image {
    let system = image.operating_system.and_then(|system| system.r#type);
    Image {
        id: image.image_id.unwrap_or_default(),
        name: image.name.unwrap_or_default(),
        description: image.description.unwrap_or_default(),
        state: name(image.state.as_ref().map(|state| state.as_str())),
        operating_system: name(system.as_ref().map(|system| system.as_str())),
        required_tenancy: name(image.required_tenancy.as_ref().map(|tenancy| tenancy.as_str())),
        owner_account: image.owner_account_id.unwrap_or_default(),
        created_at: image.created.and_then(timestamp),
        error_code: image.error_code.unwrap_or_default(),
        error_message: image.error_message.unwrap_or_default(),
    }
}

fn name(name: Option<&str>) -> String {
    name.unwrap_or_default().to_owned()
}

fn timestamp(time: DateTime) -> Option<Timestamp> {
    OffsetDateTime::from_unix_timestamp_nanos(time.as_nanos())
        .ok()
        .map(Timestamp::new)
}
