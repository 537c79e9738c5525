//! Data sets in memory: each opened once, off the threads that serve, and shared by the runs that were trained on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elbo::data::{Splits, Subset};
use elbo::tasks::{Run, held_out};
use tokio::sync::OnceCell;

use crate::problem::Problem;

/// Data sets kept.
const KEPT: usize = 4;
/// How long data may take to be opened where nobody waits for them: sets of pictures are decoded first.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// The splits a run was trained on.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub splits: Splits,
}

impl Dataset {
    /// A split by the name a client gave; without one, the examples held back for the test.
    pub fn split(&self, name: Option<&str>) -> Result<(&'static str, &Subset), Problem> {
        let found = match name {
            None => return Ok(held_out(&self.splits)),
            Some("train") => Some(("train", &self.splits.train)),
            Some("test") => Some(("test", &self.splits.test)),
            Some("validation") => self.splits.validation.as_ref().map(|split| ("validation", split)),
            Some(other) => return Err(Problem::field("split", "train, validation or test", other)),
        };
        let expected = "a split with examples";
        let filled = found.filter(|(_, split)| !split.is_empty());
        filled.ok_or_else(|| Problem::field("split", expected, format!("an empty one, `{}`", name.unwrap_or_default())))
    }
}

/// The data of a run, where the service was told that they are, or where the run knows them to be.
fn open(run: &Run) -> elbo::Result<Splits> {
    let opened = run.open_own().or_else(|error| match &run.reading.data {
        Some(_) => run.open_own_as(&run.reading.at_known_places()).map_err(|_| error),
        None => Err(error),
    });
    Ok(opened?.chosen)
}

/// Those opened so far.
#[derive(Debug, Default)]
pub(crate) struct Datasets {
    opened: Mutex<HashMap<String, Arc<OnceCell<Arc<Dataset>>>>>,
}

impl Datasets {
    /// The data of a run.
    ///
    /// # Errors
    /// If they cannot be opened, or are not those it was trained on; the next call tries again. [`Problem::late`] if that takes longer than
    /// `patience`: it goes on, for the next call.
    pub async fn of(&self, run: &Arc<Run>, patience: Duration) -> Result<Arc<Dataset>, Problem> {
        let config = &run.config;
        let key = format!("{:?} {} {}", config.data, config.training.seed, run.info.data.fingerprint);
        let cell = {
            let mut opened = self.opened.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if opened.len() >= KEPT && !opened.contains_key(&key) {
                opened.clear();
            }
            Arc::clone(opened.entry(key).or_default())
        };
        if let Some(opened) = cell.get() {
            return Ok(Arc::clone(opened));
        }
        let run = Arc::clone(run);
        let opening = || async move {
            let splits = tokio::task::spawn_blocking(move || elbo::Error::catch(|| open(&run)));
            let splits = splits.await.map_err(|_| Problem::internal())??;
            Ok::<_, Problem>(Arc::new(Dataset { splits }))
        };
        // A task of its own: whoever loses patience leaves it to the next.
        let opening = tokio::spawn(async move { cell.get_or_try_init(opening).await.map(Arc::clone) });
        match tokio::time::timeout(patience, opening).await {
            Ok(opened) => opened.map_err(|_| Problem::internal())?,
            Err(_) => Err(Problem::late(patience)),
        }
    }
}
