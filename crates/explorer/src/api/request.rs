//! A request about one run, as all handlers of `/api/runs/{id}/...` take it.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequest, RawPathParams, Request};
use axum::http::HeaderMap;
use axum::response::Response;
use elbo::generation::Pictures;
use elbo::models::Capability;
use serde::de::DeserializeOwned;

use super::Content;
use super::parse;
use super::response::{self, Format, Tables};
use crate::App;
use crate::limits::LARGE;
use crate::problem::Problem;
use crate::run_entry::RunEntry;

/// The run that was named, and what was sent. A run that there is not is refused before a handler is called.
pub struct RunRequest {
    pub app: App,
    pub run: Arc<RunEntry>,
    headers: HeaderMap,
    body: Content,
    /// What stands in the address, by the names of the route.
    params: Vec<(String, String)>,
    /// What stands in it behind `?`.
    query: Option<String>,
}

impl FromRequest<App> for RunRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let params = <RawPathParams as axum::extract::FromRequestParts<App>>::from_request_parts(&mut parts, app).await;
        // What is no UTF-8 names nothing.
        let params = params.map_err(|_| Problem::not_found("address"))?;
        let params: Vec<(String, String)> = params.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (headers, query) = (std::mem::take(&mut parts.headers), parts.uri.query().map(str::to_owned));
        let body = Content::from_request(Request::from_parts(parts, body), app).await;
        let body = body.map_err(|_| Problem::malformed("the body ends too early"))?;
        let run = app.run(param(&params, "id"))?;
        Ok(Self { app: Arc::clone(app), run, headers, body, params, query })
    }
}

fn param<'a>(params: &'a [(String, String)], name: &str) -> &'a str {
    params.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
}

impl RunRequest {
    /// Refuses the request if the run's model cannot do what is asked of it.
    pub fn require(&self, wanted_by: &str, wanted: &[Capability]) -> Result<(), Problem> {
        self.run.require(wanted_by, wanted)
    }

    /// A part of the address.
    pub fn param(&self, name: &str) -> &str {
        param(&self.params, name)
    }

    /// A number in the address.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.param(name);
        text.parse().map_err(|_| Problem::field(name, "a number", text))
    }

    /// The first of the formats `offered` that the client accepts.
    pub fn format(&self, offered: &[Format]) -> Result<Format, Problem> {
        Format::wanted(&self.headers, offered)
    }

    /// The body as JSON.
    pub async fn json<T: DeserializeOwned + Send + 'static>(&self) -> Result<T, Problem> {
        let body = self.body.clone();
        self.app.reading.compute_if(body.len() > LARGE, move || parse::json(&body)).await
    }

    /// The body as examples, and whatever else it says.
    pub async fn examples(&self) -> Result<(parse::Input, parse::Examples), Problem> {
        parse::examples(&self.app, &self.run, &self.headers, self.query.as_deref(), &self.body).await
    }

    /// Checked codes, row after row.
    pub fn codes(&self, field: &str, z: &[Vec<f32>]) -> Result<Vec<f32>, Problem> {
        parse::codes(&self.app, &self.run, field, z)
    }

    /// Checks how many images are asked for.
    pub fn images(&self, field: &str, n: usize) -> Result<(), Problem> {
        parse::images(&self.app, &self.run, field, n).map(drop)
    }

    /// Pictures as an answer; rows of a table in its own units too.
    pub async fn shown(&self, format: Format, pictures: Pictures, tables: Tables) -> Result<Response, Problem> {
        let run = match self.run.summary.columns {
            Some(_) => Some(self.app.loaded(&self.run).await?.run),
            None => None,
        };
        let numbers = pictures.pixels.len() + tables.len();
        self.written(numbers, move || {
            let columns = run.as_ref().and_then(|run| run.columns());
            response::pictures(format, &pictures, columns, &tables)
        })
        .await
    }

    /// An answer of so many numbers, written beside the threads that serve where it is large.
    pub async fn written(
        &self,
        numbers: usize,
        write: impl FnOnce() -> Result<Response, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        self.app.writing.compute_if(numbers > LARGE, write).await
    }
}
