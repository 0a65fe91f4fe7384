//! May an account copy an image? Changing it, and reading it back.

use aws_sdk_workspaces::{
    Client, operation::describe_workspace_image_permissions::DescribeWorkspaceImagePermissionsOutput,
};

use super::{
    WorkSpaces,
    call::{call, span, unreadable, within},
    not_configured,
    pages::{PAGE_SIZE, Pages},
};
use crate::domain::{Access, Fault, PermissionKey, Reply};

impl WorkSpaces {
    /// Calls UpdateWorkspaceImagePermission, once.
    pub async fn update_image_permission(&self, key: &PermissionKey, access: Access) -> Reply<()> {
        let Some(client) = self.client(key.account, &key.region) else {
            return not_configured();
        };
        let span = span!("UpdateWorkspaceImagePermission", key.account, key.region);
        let request = client
            .update_workspace_image_permission()
            .image_id(key.image.as_str())
            .allow_copy_image(access == Access::Shared)
            .shared_account_id(key.shared_account.as_str());
        let reply = call(span, |witness| request.customize().interceptor(witness).send()).await;
        Reply {
            aws_request_id: reply.aws_request_id,
            result: reply.result.map(|_| ()),
        }
    }

    /// Reads back what AWS holds, page by page with DescribeWorkspaceImagePermissions, until the account is found. Bounded
    /// by the read timeout. The request id is that of the last page read.
    pub async fn read_access(&self, key: &PermissionKey) -> Reply<Access> {
        let Some(client) = self.client(key.account, &key.region) else {
            return not_configured();
        };
        within(self.read_timeout, read_access(client, key)).await
    }
}

async fn read_access(client: &Client, key: &PermissionKey) -> Reply<Access> {
    let mut pages = Pages::default();
    let mut token = None;
    loop {
        let Reply { aws_request_id, result } = read_page(client, key, token.take()).await;
        let step = result.and_then(|page| step(&page, key, &mut pages));
        let result = match step {
            Ok(Step::Follow(next)) => {
                token = Some(next);
                continue;
            }
            Ok(Step::End(access)) => Ok(access),
            Err(fault) => Err(fault),
        };
        return Reply { aws_request_id, result };
    }
}

async fn read_page(
    client: &Client,
    key: &PermissionKey,
    token: Option<String>,
) -> Reply<DescribeWorkspaceImagePermissionsOutput> {
    let request = client
        .describe_workspace_image_permissions()
        .image_id(key.image.as_str())
        .max_results(PAGE_SIZE)
        .set_next_token(token);
    let span = span!("DescribeWorkspaceImagePermissions", key.account, key.region);
    call(span, |witness| request.customize().interceptor(witness).send()).await
}

enum Step {
    Follow(String),
    End(Access),
}

fn step(page: &DescribeWorkspaceImagePermissionsOutput, key: &PermissionKey, pages: &mut Pages) -> Result<Step, Fault> {
    if !answers(page, key) {
        return Err(unreadable());
    }
    let mut shared = page
        .image_permissions()
        .iter()
        .filter_map(|permission| permission.shared_account_id());
    if shared.any(|account| account == key.shared_account.as_str()) {
        return Ok(Step::End(Access::Shared));
    }
    Ok(match pages.next(page.next_token())? {
        Some(token) => Step::Follow(token),
        None => Step::End(Access::NotShared),
    })
}

/// True when the page is about the image. "Not shared" is a verdict that can fail a change, so it is not read out of a body
/// that says nothing, such as `{}`: either the image or a list of permissions must be there.
fn answers(page: &DescribeWorkspaceImagePermissionsOutput, key: &PermissionKey) -> bool {
    match page.image_id() {
        Some(image) => image == key.image.as_str(),
        None => page.image_permissions.is_some(),
    }
}
