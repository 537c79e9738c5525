//! What is known of runs without asking a model.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use elbo::run::directory::RunDir;
use elbo::run::history::EpochRecord;
use serde_json::{Value, json};

use super::json::Json;
use crate::App;
use crate::problem::Problem;
use crate::run::Summary;

/// `GET /api/runs`: all of them, those in training first, then the newest.
pub async fn list(State(app): State<App>) -> Json<Vec<Summary>> {
    Json(app.catalog.runs().iter().map(|run| run.summary.clone()).collect())
}

/// `GET /api/runs/{id}`: one run with its configuration and its classes.
pub async fn detail(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let run = app.run(&id)?;
    let path = run.path.clone();
    let config = tokio::task::spawn_blocking(move || RunDir::open(path)?.config_text());
    let config = config.await.map_err(|_| Problem::internal())??;
    // A run without weights yet, or whose data have gone, still has everything else.
    let labels = match run.summary.weights {
        true => app.dataset(&run).await.map(|data| data.splits.train.source().label_names().to_vec()),
        false => Ok(Vec::new()),
    };
    let mut fields = json!(run.summary);
    fields["config"] = json!(config);
    fields["data_problem"] = json!(labels.as_ref().err().map(|problem| &problem.message));
    fields["labels"] = json!(labels.unwrap_or_default());
    Ok(Json(fields))
}

/// `GET /api/runs/{id}/metrics`: every epoch's terms.
pub async fn history(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Vec<EpochRecord>>, Problem> {
    let run = app.run(&id)?;
    let history = tokio::task::spawn_blocking(move || run.history());
    history.await.map(Json).map_err(|_| Problem::internal())
}

/// `GET /api/runs/{id}/pictures/{epoch}`: the picture drawn after an epoch.
pub async fn picture(State(app): State<App>, Path((id, epoch)): Path<(String, String)>) -> Result<Response, Problem> {
    let run = app.run(&id)?;
    let epoch: usize = epoch.parse().map_err(|_| Problem::field("epoch", "a number", epoch))?;
    let picture = tokio::task::spawn_blocking(move || run.picture(epoch)).await.map_err(|_| Problem::internal())?;
    let png = picture.ok_or_else(|| Problem::not_found("picture"))?;
    Ok(([(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "no-cache")], png).into_response())
}
