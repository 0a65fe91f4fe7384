//! The simulator's own API under `/_simulator`: inject faults, read the call log, read and change the state.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::{
    account::Account, active_faults::ActiveFault, admin_body, api_error::ApiError, calls::ApiCall, engine::Engine,
    image::Image, inventory::InventorySnapshot, request::header,
};

const HELP: &str = "\
The simulator's own API. Bodies are JSON or forms, whatever the Content-Type says, so that plain curl works.

GET    /_simulator/state                            accounts and images, with the accounts they are shared with
GET    /_simulator/calls?after=<number>             the call log, from the call after <number>
DELETE /_simulator/calls                            empty the call log
GET    /_simulator/faults                           the active faults
POST   /_simulator/faults                           inject a fault; the response is {\"id\": ...}
DELETE /_simulator/faults                           remove all faults
DELETE /_simulator/faults/<id>                      remove one fault
POST   /_simulator/accounts                         add or replace an account: {\"id\": \"111122223333\"}
POST   /_simulator/images                           add or replace an image, as /_simulator/state shows it
PUT    /_simulator/images/<region>/<id>/state       AVAILABLE, PENDING or ERROR
PUT    /_simulator/images/<region>/<id>/tags        replace the tags
POST   /_simulator/reset                            restore the initial state; remove all faults, calls and events

Try:
  curl -d kind=throttle -d calls=2 ADDRESS/_simulator/faults
  curl -d kind=latency -d milliseconds=3000 -d operation=UpdateWorkspaceImagePermission ADDRESS/_simulator/faults
  curl -d kind=reset -d moment=after_applying -d calls=1 -d image=wsi-basewin11 ADDRESS/_simulator/faults
  curl ADDRESS/_simulator/faults
  curl -X DELETE ADDRESS/_simulator/faults
  curl -X PUT -d PENDING ADDRESS/_simulator/images/eu-central-1/wsi-basewin11/state
  curl -X PUT -d team=desktop -d stage=released ADDRESS/_simulator/images/eu-central-1/wsi-basewin11/tags

Members of a fault. Only \"kind\" is required.
  operation, account, region, image, shared_account   only calls with these values
  skip                                                the number of calls that match and pass first
  calls                                               maximum number of hits; without it, every call
  share, seed                                         the probability of a hit, 0 to 1, with random numbers from the seed
  moment                                              before_applying (default) or after_applying: AWS made the change
Kinds, with their members:
  kind=latency milliseconds=500 moment=before_applying
  kind=throttle http_status=429 retry_after_seconds=2
  kind=server_error http_status=503 moment=after_applying retry_after_seconds=2
  kind=reset moment=before_applying
  kind=cut_short
  kind=garbage
  kind=hang moment=after_applying at_most_milliseconds=60000
  kind=stale_read behind_changes=1
  kind=stale_read behind_milliseconds=500
  kind=refuse code=ResourceUnavailableException message=... http_status=400

The same as JSON:
  {\"when\": {\"operation\": \"UpdateWorkspaceImagePermission\", \"account\": \"111122223333\", \"region\": \"eu-central-1\",
            \"image\": \"wsi-basewin11\", \"shared_account\": \"210987654321\"},
   \"skip\": 0, \"calls\": 1, \"share\": 0.5, \"seed\": 7, \"effect\": {\"kind\": \"stale_read\", \"behind\": {\"changes\": 1}}}
";

type SharedEngine = State<Arc<Engine>>;

pub(super) fn router() -> Router<Arc<Engine>> {
    Router::new()
        .route("/_simulator", get(help))
        .route("/_simulator/", get(help))
        .route("/_simulator/state", get(state))
        .route("/_simulator/calls", get(calls).delete(forget_calls))
        .route("/_simulator/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_simulator/faults/{id}", delete(remove_fault))
        .route("/_simulator/accounts", post(put_account))
        .route("/_simulator/images", post(put_image))
        .route("/_simulator/images/{region}/{image_id}/state", put(set_image_state))
        .route("/_simulator/images/{region}/{image_id}/tags", put(set_image_tags))
        .route("/_simulator/reset", post(reset))
        .route(
            "/_simulator/{*rest}",
            axum::routing::any(async || AdminError::missing("no such path; see GET /_simulator")),
        )
}

/// The help with the address that the caller used, so that its commands can be copied.
async fn help(headers: HeaderMap) -> String {
    let address = header(&headers, "host").map_or_else(|| "ADDRESS".to_owned(), |host| format!("http://{host}"));
    HELP.replace("ADDRESS", &address)
}

async fn state(State(engine): SharedEngine) -> CurlAnswer<InventorySnapshot> {
    CurlAnswer(engine.inventory().state())
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn calls(State(engine): SharedEngine, Query(After { after }): Query<After>) -> CurlAnswer<Vec<ApiCall>> {
    CurlAnswer(engine.log.after(after))
}

async fn forget_calls(State(engine): SharedEngine) -> StatusCode {
    engine.log.clear();
    StatusCode::NO_CONTENT
}

async fn faults(State(engine): SharedEngine) -> CurlAnswer<Vec<ActiveFault>> {
    CurlAnswer(engine.faults().list())
}

/// JSON that ends its line, for a person with curl.
struct CurlAnswer<T>(T);

impl<T: Serialize> IntoResponse for CurlAnswer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(text) => ([(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

#[derive(Serialize)]
struct Added {
    id: u64,
}

async fn add_fault(State(engine): SharedEngine, body: Bytes) -> Result<CurlAnswer<Added>, AdminError> {
    let fault = admin_body::fault(&body).map_err(AdminError::bad)?;
    fault.check().map_err(AdminError::bad)?;
    let id = engine.faults().add(fault);
    Ok(CurlAnswer(Added { id }))
}

async fn clear_faults(State(engine): SharedEngine) -> StatusCode {
    engine.faults().clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(engine): SharedEngine, Path(id): Path<u64>) -> Result<StatusCode, AdminError> {
    match engine.faults().remove(id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(AdminError::missing("no such fault; it may have had all its hits")),
    }
}

async fn put_account(State(engine): SharedEngine, body: Bytes) -> Result<StatusCode, AdminError> {
    let account: Account = admin_body::json(&body).map_err(AdminError::bad)?;
    engine.put_account(account).map_err(AdminError::bad)?;
    saved(&engine).await
}

async fn put_image(State(engine): SharedEngine, body: Bytes) -> Result<StatusCode, AdminError> {
    let image: Image = admin_body::json(&body).map_err(AdminError::bad)?;
    engine.put_image(image).map_err(AdminError::bad)?;
    saved(&engine).await
}

async fn set_image_state(
    State(engine): SharedEngine,
    Path((region, image_id)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, AdminError> {
    let state = admin_body::state(&body).map_err(AdminError::bad)?;
    saved_image(&engine, engine.set_image_state(&region, &image_id, state)).await
}

async fn set_image_tags(
    State(engine): SharedEngine,
    Path((region, image_id)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, AdminError> {
    let tags = admin_body::tags(&body).map_err(AdminError::bad)?;
    let found = engine
        .set_image_tags(&region, &image_id, tags)
        .map_err(AdminError::bad)?;
    saved_image(&engine, found).await
}

async fn saved_image(engine: &Engine, found: bool) -> Result<StatusCode, AdminError> {
    match found {
        true => saved(engine).await,
        false => Err(AdminError::missing("no such image")),
    }
}

async fn reset(State(engine): SharedEngine) -> Result<StatusCode, AdminError> {
    engine.reset();
    saved(&engine).await
}

async fn saved(engine: &Engine) -> Result<StatusCode, AdminError> {
    let version = engine.inventory().version;
    engine.save(version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An error response of the admin API, in plain text.
struct AdminError(StatusCode, String);

impl AdminError {
    fn bad(message: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, message.to_string())
    }

    fn missing(message: &str) -> Self {
        Self(StatusCode::NOT_FOUND, message.to_owned())
    }
}

impl From<ApiError> for AdminError {
    fn from(error: ApiError) -> Self {
        Self(error.status, error.message)
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}
