//! Changes an image permission, and reads it back.

use std::collections::BTreeSet;

use aws_sdk_workspaces::operation::describe_workspace_image_permissions::DescribeWorkspaceImagePermissionsOutput;

use super::{
    WorkSpaces,
    call::{AccountClient, span, timed_out, unreadable},
    not_configured,
    pages::{PAGE_SIZE, PageCursor, Pages},
    shared_reads::ReadOutcome,
};
use crate::domain::{Access, AccountId, AwsError, AwsResponse, ImageId, PermissionKey, Region};

impl WorkSpaces {
    /// Calls UpdateWorkspaceImagePermission, once. `has_lease` is asked directly before the request is sent, when credentials
    /// were got and the request was signed. If it says no, nothing is sent, and the code is `LeaseEnded`.
    pub async fn update_image_permission(
        &self,
        key: &PermissionKey,
        access: Access,
        has_lease: impl Fn() -> bool + Send + Sync + 'static,
    ) -> AwsResponse<()> {
        let Some(client) = self.client(key.account, &key.region) else {
            return not_configured();
        };
        let span = span!("UpdateWorkspaceImagePermission", client);
        let response = client.call_while(Some(Box::new(has_lease)), span, |client, interceptor| {
            let request = client
                .update_workspace_image_permission()
                .image_id(key.image.as_str())
                .allow_copy_image(access == Access::Shared)
                .shared_account_id(key.shared_account.as_str());
            request.customize().interceptor(interceptor).send()
        });
        let response = response.await;
        AwsResponse {
            aws_request_id: response.aws_request_id,
            result: response.result.map(|_| ()),
        }
    }

    /// Reads whether the image is shared with the account, page by page with DescribeWorkspaceImagePermissions. Concurrent reads
    /// of one image are combined ([`shared_reads`](super::shared_reads)). Returns the number of calls too; of combined reads,
    /// one gets the number and the others 0. Bounded by the read timeout. The request id is that of the last page.
    pub async fn read_access(&self, key: &PermissionKey) -> (AwsResponse<Access>, u32) {
        let Some(client) = self.client(key.account, &key.region).cloned() else {
            return (not_configured(), 0);
        };
        let image = key.image.clone();
        let read = move |accounts| read_all(client, image, accounts);
        let read_together = tokio::time::timeout(self.read_timeout, self.shared_reads.read_with_others(key, read));
        read_together.await.unwrap_or_else(|_| (timed_out(), 1))
    }

    /// Reads the next page of the accounts that an image is shared with: one call. Only the pages up to the end together say
    /// with whom it is not shared.
    pub async fn next_recipients(
        &self,
        account: AccountId,
        region: &Region,
        image: &ImageId,
        cursor: &mut PageCursor,
    ) -> AwsResponse<Vec<AccountId>> {
        let Some(client) = self.client(account, region) else {
            return not_configured();
        };
        let AwsResponse { aws_request_id, result } = read_page(client, image, cursor.token()).await;
        let result = result.and_then(|page| {
            let recipients = recipients(&page, image)?;
            cursor.advance(page.next_token())?;
            Ok(recipients)
        });
        AwsResponse { aws_request_id, result }
    }
}

/// The accounts on a page. One that cannot be read makes the page unreadable.
fn recipients(page: &DescribeWorkspaceImagePermissionsOutput, image: &ImageId) -> Result<Vec<AccountId>, AwsError> {
    if !is_about(page, image) {
        return Err(unreadable());
    }
    let ids = page.image_permissions().iter();
    let ids = ids.map(|one| one.shared_account_id().and_then(|id| id.parse().ok()));
    ids.collect::<Option<_>>().ok_or_else(unreadable)
}

/// Reads pages until all accounts are found, or to the end.
async fn read_all(client: AccountClient, image: ImageId, mut accounts: BTreeSet<AccountId>) -> ReadOutcome {
    let (mut pages, mut token, mut shared) = (Pages::default(), None, BTreeSet::new());
    let mut calls = 0;
    loop {
        calls += 1;
        let AwsResponse { aws_request_id, result } = read_page(&client, &image, token.take()).await;
        let page = result.and_then(|page| {
            if is_about(&page, &image) {
                Ok(page)
            } else {
                Err(unreadable())
            }
        });
        let next = page.and_then(|page| {
            let ids = page
                .image_permissions()
                .iter()
                .filter_map(|one| one.shared_account_id());
            let found = ids.filter_map(|id| accounts.take(&id.parse().ok()?));
            shared.extend(found);
            match accounts.is_empty() {
                true => Ok(None),
                false => pages.next(page.next_token()),
            }
        });
        let result = match next {
            Ok(Some(next)) => {
                token = Some(next);
                continue;
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let end = AwsResponse { aws_request_id, result };
        return ReadOutcome { shared, end, calls };
    }
}

async fn read_page(
    client: &AccountClient,
    image: &ImageId,
    token: Option<String>,
) -> AwsResponse<DescribeWorkspaceImagePermissionsOutput> {
    let span = span!("DescribeWorkspaceImagePermissions", client);
    let page = client.call(span, |client, interceptor| {
        let request = client
            .describe_workspace_image_permissions()
            .image_id(image.as_str())
            .max_results(PAGE_SIZE)
            .set_next_token(token);
        request.customize().interceptor(interceptor).send()
    });
    page.await
}

/// True if the page is about the image. "Not shared" can fail a change, so it is not concluded from an empty answer such as
/// `{}`: either the image id or a list of permissions must be present.
fn is_about(page: &DescribeWorkspaceImagePermissionsOutput, image: &ImageId) -> bool {
    match page.image_id() {
        Some(named) => named == image.as_str(),
        None => page.image_permissions.is_some(),
    }
}
