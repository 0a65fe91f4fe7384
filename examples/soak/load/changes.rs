//! Callers that grant, revoke, replay, are denied, and read permissions and changes.

use sharewarden_client::proto::v1::{
    GetChangeRequest, GetSharePermissionRequest, GrantSharePermissionRequest, ListImagesRequest,
    ListSharePermissionsRequest, RevokeSharePermissionRequest,
};

use super::{Caller, Clients, asked};
use crate::surroundings::{ACCOUNT, IMAGE, REGION, STRICT_ACCOUNT};

/// The number of recipients, used in turn and at random.
const RECIPIENTS: u32 = 60;
/// The maximum pause between two changes of a caller, in milliseconds.
const PAUSE: u64 = 80;

fn recipient(caller: &mut Caller) -> String {
    format!("2000000000{:02}", caller.rng.u32(..RECIPIENTS))
}

pub(super) async fn change(mut caller: Caller) {
    loop {
        let (mut clients, calls) = caller.connect().await;
        for _ in 0..calls {
            match caller.rng.u32(..10) {
                0 => deny(&mut caller, &mut clients).await,
                1 => replay(&mut caller, &mut clients).await,
                2..6 => revoke(&mut caller, &mut clients).await,
                _ => drop(grant(&mut caller, &mut clients).await),
            }
            caller.pause(PAUSE).await;
        }
    }
}

fn new_grant(caller: &mut Caller) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: recipient(caller),
        request_id: uuid::Uuid::from_u128(caller.rng.u128(..)).to_string(),
        reason: "soak".into(),
        ..Default::default()
    }
}

async fn grant(caller: &mut Caller, clients: &mut Clients) -> GrantSharePermissionRequest {
    let request = new_grant(caller);
    let answer = clients.shares.grant_share_permission(asked(request.clone())).await;
    let change = caller.note("grant", answer).and_then(|answer| answer.change);
    if let Some(change) = change.filter(|_| caller.rng.u32(..4) == 0) {
        follow_up(caller, clients, change.change_id).await;
    }
    request
}

async fn replay(caller: &mut Caller, clients: &mut Clients) {
    let request = grant(caller, clients).await;
    let answer = clients.shares.grant_share_permission(asked(request)).await;
    caller.note("replay", answer);
}

async fn revoke(caller: &mut Caller, clients: &mut Clients) {
    let request = RevokeSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: recipient(caller),
        reason: "soak".into(),
        ..Default::default()
    };
    let answer = clients.shares.revoke_share_permission(asked(request)).await;
    caller.note("revoke", answer);
}

async fn deny(caller: &mut Caller, clients: &mut Clients) {
    let request = GrantSharePermissionRequest {
        account_id: STRICT_ACCOUNT.into(),
        image_id: "wsi-byolwin11".into(),
        ..new_grant(caller)
    };
    let answer = clients.shares.grant_share_permission(asked(request)).await;
    caller.note("denied", answer);
}

pub(super) async fn read(mut caller: Caller) {
    loop {
        let (mut clients, calls) = caller.connect().await;
        for _ in 0..calls {
            match caller.rng.u32(..4) {
                0 => get(&mut caller, &mut clients).await,
                1 => images(&mut caller, &mut clients).await,
                _ => list(&mut caller, &mut clients).await,
            }
            caller.pause(PAUSE).await;
        }
    }
}

async fn get(caller: &mut Caller, clients: &mut Clients) {
    let request = GetSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: recipient(caller),
    };
    let answer = clients.shares.get_share_permission(asked(request)).await;
    caller.note("get", answer);
}

async fn follow_up(caller: &mut Caller, clients: &mut Clients, change_id: String) {
    let request = GetChangeRequest {
        account_id: ACCOUNT.into(),
        change_id,
    };
    let answer = clients.shares.get_change(asked(request)).await;
    caller.note("get change", answer);
}

async fn images(caller: &mut Caller, clients: &mut Clients) {
    let request = ListImagesRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        ..Default::default()
    };
    let answer = clients.shares.list_images(asked(request)).await;
    caller.note("images", answer);
}

/// Reads all pages.
async fn list(caller: &mut Caller, clients: &mut Clients) {
    let mut request = ListSharePermissionsRequest {
        account_id: ACCOUNT.into(),
        page_size: 25,
        ..Default::default()
    };
    loop {
        let answer = clients.shares.list_share_permissions(asked(request.clone())).await;
        match caller.note("list", answer) {
            Some(page) if !page.next_page_token.is_empty() => request.page_token = page.next_page_token,
            _ => return,
        }
    }
}
