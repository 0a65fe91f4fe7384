//! The simulator's own API under `/_simulator`: inject faults, read the call log, read and change the state.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::{delete, get, put},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    account::Account,
    active_faults::ActiveFault,
    api_error::ApiError,
    calls::ApiCall,
    engine::Engine,
    fault::Fault,
    image::{Image, ImageState},
    inventory::InventorySnapshot,
};

const HELP: &str = "\
The simulator's own API. Bodies are JSON.

GET    /_simulator/state                            accounts and images, with the accounts they are shared with
GET    /_simulator/calls?after=<number>             the call log, from the call after <number>
DELETE /_simulator/calls                            empty the call log
GET    /_simulator/faults                           the active faults
POST   /_simulator/faults                           inject a fault; the response is {\"id\": ...}
DELETE /_simulator/faults                           remove all faults
DELETE /_simulator/faults/<id>                      remove one fault
POST   /_simulator/accounts                         add or replace an account
POST   /_simulator/images                           add or replace an image
PUT    /_simulator/images/<region>/<id>/state       \"AVAILABLE\", \"PENDING\" or \"ERROR\"
POST   /_simulator/reset                            restore the initial state, and remove all faults and calls

Example of a fault. Only \"effect\" is required. \"skip\": calls that match and pass first. \"calls\": maximum number of hits.
\"share\": probability of a hit, 0 to 1, with random numbers from \"seed\":
  {\"when\": {\"operation\": \"UpdateWorkspaceImagePermission\", \"account\": \"111122223333\", \"region\": \"eu-central-1\",
            \"image\": \"wsi-basewin11\", \"shared_account\": \"210987654321\"},
   \"skip\": 0, \"calls\": 1, \"share\": 0.5, \"seed\": 7, \"effect\": {\"kind\": \"reset\", \"moment\": \"after_applying\"}}
Effects:
  {\"kind\": \"latency\", \"milliseconds\": 500, \"moment\": \"before_applying\"}
  {\"kind\": \"throttle\", \"http_status\": 429, \"retry_after_seconds\": 2}
  {\"kind\": \"server_error\", \"http_status\": 503, \"moment\": \"after_applying\", \"retry_after_seconds\": 2}
  {\"kind\": \"reset\", \"moment\": \"before_applying\"}
  {\"kind\": \"cut_short\"}   {\"kind\": \"garbage\"}
  {\"kind\": \"hang\", \"moment\": \"after_applying\", \"at_most_milliseconds\": 60000}
  {\"kind\": \"stale_read\", \"behind\": {\"changes\": 1}}   {\"kind\": \"stale_read\", \"behind\": {\"milliseconds\": 500}}
  {\"kind\": \"refuse\", \"code\": \"ResourceUnavailableException\", \"message\": \"...\", \"http_status\": 400}
";

type SharedEngine = State<Arc<Engine>>;
type JsonBody<T> = Result<Json<T>, JsonRejection>;

pub(super) fn router() -> Router<Arc<Engine>> {
    Router::new()
        .route("/_simulator", get(async || HELP))
        .route("/_simulator/", get(async || HELP))
        .route("/_simulator/state", get(state))
        .route("/_simulator/calls", get(calls).delete(forget_calls))
        .route("/_simulator/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_simulator/faults/{id}", delete(remove_fault))
        .route("/_simulator/accounts", axum::routing::post(put_account))
        .route("/_simulator/images", axum::routing::post(put_image))
        .route("/_simulator/images/{region}/{image_id}/state", put(set_image_state))
        .route("/_simulator/reset", axum::routing::post(reset))
        .route(
            "/_simulator/{*rest}",
            axum::routing::any(async || AdminError::missing("no such path; see GET /_simulator")),
        )
}

async fn state(State(engine): SharedEngine) -> Json<InventorySnapshot> {
    Json(engine.inventory().state())
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn calls(State(engine): SharedEngine, Query(After { after }): Query<After>) -> Json<Vec<ApiCall>> {
    Json(engine.log.after(after))
}

async fn forget_calls(State(engine): SharedEngine) -> StatusCode {
    engine.log.clear();
    StatusCode::NO_CONTENT
}

async fn faults(State(engine): SharedEngine) -> Json<Vec<ActiveFault>> {
    Json(engine.faults().list())
}

#[derive(Serialize)]
struct Added {
    id: u64,
}

async fn add_fault(State(engine): SharedEngine, fault: JsonBody<Fault>) -> Result<Json<Added>, AdminError> {
    let Json(fault) = fault?;
    fault.check().map_err(AdminError::bad)?;
    let id = engine.faults().add(fault);
    Ok(Json(Added { id }))
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

async fn put_account(State(engine): SharedEngine, account: JsonBody<Account>) -> Result<StatusCode, AdminError> {
    engine.put_account(account?.0).map_err(AdminError::bad)?;
    saved(&engine).await
}

async fn put_image(State(engine): SharedEngine, image: JsonBody<Image>) -> Result<StatusCode, AdminError> {
    engine.put_image(image?.0).map_err(AdminError::bad)?;
    saved(&engine).await
}

async fn set_image_state(
    State(engine): SharedEngine,
    Path((region, image_id)): Path<(String, String)>,
    state: JsonBody<ImageState>,
) -> Result<StatusCode, AdminError> {
    match engine.set_image_state(&region, &image_id, state?.0) {
        true => saved(&engine).await,
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

impl From<JsonRejection> for AdminError {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
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
