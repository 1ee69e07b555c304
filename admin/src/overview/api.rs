//! `GET /api/v1/overview`.

use super::survey::Survey;
use crate::{
    App,
    access::{Look, May},
};
use axum::extract::State;
use service_kit::problem::Json;

/// All parts; what cannot be told says why, and the answer is 200 all the same.
pub(crate) async fn get(State(app): State<App>, caller: May<Look>) -> Json<Survey> {
    Json(Survey::make(&app, caller.sight()).await)
}
