//! A load generator: clients that decode as fast as answers come, over connections they keep.
//!
//! `cargo run --release --example load -- ADDRESS PATH LATENT CLIENTS BATCH SECONDS` prints one JSON object. `bench/serve.py` drives it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, latent, clients, batch, seconds] = arguments.as_slice() else {
        eprintln!("usage: load ADDRESS PATH LATENT CLIENTS BATCH SECONDS");
        std::process::exit(2);
    };
    let number = |text: &String| text.parse::<usize>().expect("a number");
    let (latent, clients, batch) = (number(latent), number(clients), number(batch));
    let length = Duration::from_secs(number(seconds) as u64);
    let barrier = Barrier::new(clients);
    let (mut times, errors): (Vec<Vec<Duration>>, Vec<usize>) = thread::scope(|scope| {
        let client = |seed: usize| {
            let barrier = &barrier;
            scope.spawn(move || Client::new(address, path, latent, batch, seed).ask_for(length, barrier))
        };
        let running: Vec<_> = (0..clients).map(client).collect();
        running.into_iter().map(|client| client.join().expect("a client does not panic")).unzip()
    });
    let mut all: Vec<Duration> = times.drain(..).flatten().collect();
    all.sort();
    let at = |share: f64| all.get(((all.len().max(1) - 1) as f64 * share) as usize).map_or(0.0, Duration::as_secs_f64);
    let rate = all.len() as f64 / length.as_secs_f64();
    println!(
        "{{\"clients\": {clients}, \"batch\": {batch}, \"requests\": {}, \"errors\": {}, \"p50_ms\": {:.3}, \"p99_ms\": {:.3}, \"requests_per_s\": {rate:.1}, \"decodes_per_s\": {:.1}}}",
        all.len(),
        errors.iter().sum::<usize>(),
        1e3 * at(0.5),
        1e3 * at(0.99),
        rate * batch as f64,
    );
}

/// One connection with one request, sent again and again.
struct Client {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    fn new(address: &str, path: &str, latent: usize, batch: usize, seed: usize) -> Self {
        let value = |i: usize| (((seed * 7919 + i * 104_729) % 2001) as f64 / 1000.0 - 1.0).to_string();
        let row =
            |row: usize| format!("[{}]", (0..latent).map(|i| value(row * latent + i)).collect::<Vec<_>>().join(","));
        let body = format!("{{\"z\":[{}]}}", (0..batch).map(row).collect::<Vec<_>>().join(","));
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/octet-stream\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let stream = TcpStream::connect(address).expect("the service listens");
        stream.set_nodelay(true).expect("a socket has no delay");
        Self { stream: BufReader::new(stream), request: request.into_bytes(), answer: Vec::new() }
    }

    /// The time of each answer, and how many were none.
    fn ask_for(mut self, length: Duration, barrier: &Barrier) -> (Vec<Duration>, usize) {
        // Not counted: connecting, and whatever is slow once.
        for _ in 0..20 {
            self.ask();
        }
        barrier.wait();
        let (mut times, mut errors, began) = (Vec::new(), 0, Instant::now());
        while began.elapsed() < length {
            let sent = Instant::now();
            match self.ask() {
                true => times.push(sent.elapsed()),
                false => errors += 1,
            }
        }
        (times, errors)
    }

    /// Sends the request and reads the whole answer; whether it was one.
    fn ask(&mut self) -> bool {
        self.stream.get_mut().write_all(&self.request).expect("the service reads");
        let (mut line, mut length, mut good) = (String::new(), 0, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("the service answers");
            let lower = line.to_ascii_lowercase();
            good |= lower.starts_with("http/1.1 200");
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        self.answer.resize(length, 0);
        self.stream.read_exact(&mut self.answer).expect("a whole answer");
        good
    }
}
