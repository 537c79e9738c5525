//! The stop button.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::json::Json;
use super::request::RunRequest;
use crate::problem::Problem;

/// `POST /api/runs/{id}/stop`: the step under way is finished, a checkpoint is saved, `elbo resume` continues from it.
///
/// A run stops the way it stops in a terminal: its process is sent SIGTERM. Which process that is stands in `run.lock`, and it is believed
/// only while that lock is held.
pub async fn stop(RunRequest { run, .. }: RunRequest) -> Result<(StatusCode, Json<Value>), Problem> {
    let Some(pid) = run.trainer() else {
        return Err(Problem::conflict("no process trains this run"));
    };
    terminate(pid)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": run.id, "stopping": true }))))
}

#[cfg(unix)]
fn terminate(pid: u32) -> Result<(), Problem> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let sent = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
    match sent {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(Problem::conflict(format!("the training process cannot be told: {error}"))),
        None => Err(Problem::conflict("the training process is not known")),
    }
}

#[cfg(not(unix))]
fn terminate(_: u32) -> Result<(), Problem> {
    let message = "on this system a run is stopped where it was started, with Ctrl-C";
    Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message))
}
