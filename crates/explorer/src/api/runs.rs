//! What is known of runs without asking a model.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use elbo::run::directory::RunDir;
use serde_json::{Value, json};

use super::json::Json;
use super::request::RunRequest;
use crate::App;
use crate::problem::Problem;
use crate::run_entry::Drawn;

/// Runs whose list is written beside the threads that serve.
const MANY: usize = 100;

/// `GET /api/runs`: all of them, those in training first, then the newest.
pub async fn list(State(app): State<App>) -> Result<Response, Problem> {
    let listed = app.catalog.listed();
    app.writing.compute_if(listed.len() > MANY, move || Ok(Json(listed).into_response())).await
}

/// `GET /api/runs/{id}`: one run with its configuration and its classes.
pub async fn detail(RunRequest { app, run, .. }: RunRequest) -> Result<Json<Value>, Problem> {
    let path = run.path.clone();
    let config = app.writing.compute(move |_| Ok(RunDir::open(path)?.config_text()?)).await?;
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
pub async fn history(RunRequest { app, run, .. }: RunRequest) -> Result<Response, Problem> {
    app.writing.compute(move |_| Ok(Json(run.history()?).into_response())).await
}

/// `GET /api/runs/{id}/pictures/{epoch}`: the picture drawn after an epoch.
pub async fn picture(asked: RunRequest) -> Result<Response, Problem> {
    drawn(asked, Drawn::Samples).await
}

/// `GET /api/runs/{id}/reconstructions/{epoch}`: held-out examples, and below each what became of it after an epoch.
pub async fn reconstructions(asked: RunRequest) -> Result<Response, Problem> {
    drawn(asked, Drawn::Reconstructions).await
}

async fn drawn(asked: RunRequest, of: Drawn) -> Result<Response, Problem> {
    let epoch: usize = asked.number("epoch")?;
    let (app, run) = (asked.app, asked.run);
    let picture = app.writing.compute(move |_| Ok(run.picture(of, epoch))).await?;
    let png = picture.ok_or_else(|| Problem::not_found("picture"))?;
    Ok(([(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "no-cache")], png).into_response())
}
