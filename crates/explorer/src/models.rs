//! The models in memory: loaded when first asked for, again when their weights change, the least used dropped.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use burn::tensor::Device;
use elbo::tasks::{Reading, Run};

use crate::problem::Problem;
use crate::run_entry::{Identity, RunEntry};

/// How long weights count as unchanged without a look at the disk.
const TRUSTED: Duration = Duration::from_millis(300);

/// A run's model as of one checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub run: Arc<Run>,
    /// When its weights were written.
    pub stamp: SystemTime,
    /// What it was loaded as.
    identity: Arc<Identity>,
}

impl Loaded {
    fn open(entry: &RunEntry, stamp: SystemTime, device: &Device, reading: &Reading) -> elbo::Result<Self> {
        let mut run = Run::open(&entry.path, None, device)?;
        run.reading = reading.clone();
        Ok(Self { identity: Arc::new(Identity::of(&run.config, &run.info)), run: Arc::new(run), stamp })
    }
}

/// Owned by the worker thread alone.
#[derive(Debug)]
pub(crate) struct Models {
    device: Device,
    /// How the data of runs are read.
    reading: Reading,
    capacity: usize,
    /// The most recently used last.
    loaded: Vec<(String, Instant, Loaded)>,
}

impl Models {
    pub fn new(device: Device, reading: Reading, capacity: usize) -> Self {
        Self { device, reading, capacity: capacity.max(1), loaded: Vec::new() }
    }

    /// The model of a run as it is listed, with the newest weights there are.
    ///
    /// # Errors
    /// If there are none yet, they cannot be loaded and never could, or they are not those of the configuration that is listed.
    pub fn get(&mut self, entry: &RunEntry) -> Result<Loaded, Problem> {
        let place = self.loaded.iter().position(|(id, ..)| *id == entry.id);
        let known = place.map(|place| self.loaded.remove(place));
        // What was loaded as another is of no use: neither its sizes nor its data are what requests were checked against.
        let known = known.filter(|(_, _, loaded)| loaded.identity == entry.identity);
        if let Some((id, checked, loaded)) = known.clone().filter(|(_, checked, _)| checked.elapsed() < TRUSTED) {
            self.loaded.push((id, checked, loaded.clone()));
            return Ok(loaded);
        }
        let stamp = entry.weights_stamp();
        let loaded = match (known, stamp) {
            (Some((_, _, loaded)), stamp) if stamp.is_none_or(|stamp| stamp == loaded.stamp) => loaded,
            (known, Some(stamp)) => match (Loaded::open(entry, stamp, &self.device, &self.reading), known) {
                (Ok(loaded), _) if loaded.identity != entry.identity => return Err(Problem::changed()),
                (Ok(loaded), _) => loaded,
                // In the middle of being replaced: the weights before are good for another moment.
                (Err(_), Some((_, _, loaded))) => loaded,
                (Err(error), None) => return Err(error.into()),
            },
            (_, None) => return Err(Problem::conflict("the run has no weights yet: wait for its first epoch")),
        };
        if self.loaded.len() >= self.capacity {
            self.loaded.remove(0);
        }
        self.loaded.push((entry.id.clone(), Instant::now(), loaded.clone()));
        Ok(loaded)
    }
}
