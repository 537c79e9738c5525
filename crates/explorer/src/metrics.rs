//! What `/metrics` tells, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the buckets of the durations, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Counters of the service. Requests are counted by route, never by address, so that clients cannot make them grow.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Connections open at this moment.
    pub connections: AtomicUsize,
    /// Requests that wait for the model.
    pub queued: AtomicUsize,
    /// Requests refused because too many waited.
    pub refused: AtomicUsize,
    /// Forward passes of decoders, and codes decoded in them.
    pub batches: AtomicUsize,
    pub decoded: AtomicUsize,
    requests: Mutex<BTreeMap<(String, u16), usize>>,
    durations: Mutex<Durations>,
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [usize; BUCKETS.len()],
    count: usize,
    seconds: f64,
}

impl Metrics {
    /// Counts an answered request.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *requests.entry((route.to_owned(), status)).or_default() += 1;
        drop(requests);
        let mut durations = self.durations.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let seconds = took.as_secs_f64();
        for (bucket, end) in durations.buckets.iter_mut().zip(BUCKETS) {
            *bucket += usize::from(seconds <= end);
        }
        durations.count += 1;
        durations.seconds += seconds;
    }

    /// All of it, as Prometheus reads it.
    pub fn text(&self, runs: usize) -> String {
        let mut text = String::new();
        let mut number = |name: &str, kind: &str, help: &str, value: usize| {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        let load = |counter: &AtomicUsize| counter.load(Relaxed);
        number("elbo_runs", "gauge", "Runs that are shown.", runs);
        number("elbo_connections", "gauge", "Open connections.", load(&self.connections));
        number("elbo_queue", "gauge", "Requests that wait for the model.", load(&self.queued));
        number("elbo_refused_total", "counter", "Requests refused because too many waited.", load(&self.refused));
        number("elbo_decode_batches_total", "counter", "Forward passes of decoders.", load(&self.batches));
        number("elbo_decoded_codes_total", "counter", "Codes decoded in them.", load(&self.decoded));
        text +=
            "# HELP elbo_requests_total Requests answered, by route and status.\n# TYPE elbo_requests_total counter\n";
        let requests = self.requests.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for ((route, status), count) in requests.iter() {
            let _ = writeln!(text, "elbo_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}");
        }
        drop(requests);
        let durations = self.durations.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        text += "# HELP elbo_request_seconds Time from a request's head to its answer.\n# TYPE elbo_request_seconds histogram\n";
        for (end, count) in BUCKETS.iter().zip(durations.buckets) {
            let _ = writeln!(text, "elbo_request_seconds_bucket{{le=\"{end}\"}} {count}");
        }
        let Durations { count, seconds, .. } = *durations;
        let _ = write!(
            text,
            "elbo_request_seconds_bucket{{le=\"+Inf\"}} {count}\nelbo_request_seconds_sum {seconds}\nelbo_request_seconds_count {count}\n"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_cumulative_and_requests_are_counted_by_route() {
        let metrics = Metrics::default();
        metrics.answered("/api/runs", 200, Duration::from_millis(2));
        metrics.answered("/api/runs", 200, Duration::from_millis(30));
        let text = metrics.text(7);
        for line in [
            "elbo_runs 7",
            "elbo_requests_total{route=\"/api/runs\",status=\"200\"} 2",
            "elbo_request_seconds_bucket{le=\"0.001\"} 0",
            "elbo_request_seconds_bucket{le=\"0.0025\"} 1",
            "elbo_request_seconds_bucket{le=\"0.05\"} 2",
            "elbo_request_seconds_bucket{le=\"+Inf\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
