//! The simulator's own endpoint, under `/_simulator`: script faults, read the call log, look at and change the state.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::calls::Call;
use super::engine::Engine;
use super::fault::Fault;
use super::faults::Scripted;
use super::image::{Image, ImageState};
use super::refusal::Refusal;
use super::world;

const HELP: &str = "\
The simulator's own endpoint. Bodies are JSON.

GET    /_simulator/state                            accounts and images, with whom they are shared
GET    /_simulator/calls?after=<number>             the call log (of what came after a call)
DELETE /_simulator/calls                            forget it
GET    /_simulator/faults                           the faults in force
POST   /_simulator/faults                           add one; answers {\"id\": ...}
DELETE /_simulator/faults                           remove all
DELETE /_simulator/faults/<id>                      remove one
POST   /_simulator/accounts                         add or replace an account
POST   /_simulator/images                           add or replace an image
PUT    /_simulator/images/<region>/<id>/state       \"AVAILABLE\", \"PENDING\" or \"ERROR\"
POST   /_simulator/reset                            back to the start: state, faults, call log

A fault, for example (only \"effect\" must be there; \"calls\" hits, then it is over; \"share\" is a probability):
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

type Shared = State<Arc<Engine>>;
type Body<T> = Result<Json<T>, JsonRejection>;

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
            axum::routing::any(async || Problem::missing("there is no such path; see GET /_simulator")),
        )
}

async fn state(State(engine): Shared) -> Json<world::State> {
    Json(engine.world().state())
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn calls(State(engine): Shared, Query(After { after }): Query<After>) -> Json<Vec<Call>> {
    Json(engine.log.after(after))
}

async fn forget_calls(State(engine): Shared) -> StatusCode {
    engine.log.clear();
    StatusCode::NO_CONTENT
}

async fn faults(State(engine): Shared) -> Json<Vec<Scripted>> {
    Json(engine.faults().list())
}

#[derive(Serialize)]
struct Added {
    id: u64,
}

async fn add_fault(State(engine): Shared, fault: Body<Fault>) -> Result<Json<Added>, Problem> {
    let Json(fault) = fault?;
    fault.check().map_err(Problem::bad)?;
    let id = engine.faults().add(fault);
    Ok(Json(Added { id }))
}

async fn clear_faults(State(engine): Shared) -> StatusCode {
    engine.faults().clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(engine): Shared, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    match engine.faults().remove(id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::missing("there is no such fault (it may be over)")),
    }
}

async fn put_account(State(engine): Shared, account: Body<Account>) -> Result<StatusCode, Problem> {
    engine
        .put_account(account?.0)
        .map_err(|error| Problem::bad(error.to_string()))?;
    saved(&engine).await
}

async fn put_image(State(engine): Shared, image: Body<Image>) -> Result<StatusCode, Problem> {
    engine
        .put_image(image?.0)
        .map_err(|error| Problem::bad(error.to_string()))?;
    saved(&engine).await
}

async fn set_image_state(
    State(engine): Shared,
    Path((region, image_id)): Path<(String, String)>,
    state: Body<ImageState>,
) -> Result<StatusCode, Problem> {
    match engine.set_image_state(&region, &image_id, state?.0) {
        true => saved(&engine).await,
        false => Err(Problem::missing("there is no such image")),
    }
}

async fn reset(State(engine): Shared) -> Result<StatusCode, Problem> {
    engine.reset();
    saved(&engine).await
}

async fn saved(engine: &Engine) -> Result<StatusCode, Problem> {
    let version = engine.world().version;
    engine.save(version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is wrong with an admin's request, in plain text.
struct Problem {
    status: StatusCode,
    message: String,
}

impl Problem {
    fn bad(message: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message,
        }
    }

    fn missing(message: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: message.to_owned(),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self {
            status: rejection.status(),
            message: rejection.body_text(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status,
            message: refusal.message,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, self.message + "\n").into_response()
    }
}
