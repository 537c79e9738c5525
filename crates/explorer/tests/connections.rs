//! The service on a port: slow, greedy and rude clients, and its end. Limits are small, so that seconds are enough.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use elbo::recipe::Layers;
use elbo::tasks::TrainingRun;
use elbo::training::{Quiet, Stop};
use elbo_explorer::{Explorer, Limits, Options};
use tempfile::TempDir;

const DECODE: &str = r#"{"z": [[0.5, -1.0]]}"#;

/// A service with one small run.
struct Running {
    address: SocketAddr,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = elbo::device::choose("cpu").unwrap();
        let mut layers = Layers::from_recipe("digits").unwrap();
        for setting in ["data.count=100", "training.epochs=1", "network.hidden=[16]", "model.latent=2"] {
            layers.set(setting).unwrap();
        }
        let path = folder.path().join("r");
        let run = TrainingRun::create(layers.build().unwrap(), &path, &device, "cpu", &mut |_| {}).unwrap();
        run.train(&mut Quiet, &Stop::new()).unwrap();
        let explorer = Explorer::bind(Options { limits, ..Options::new(vec![folder.path().into()], device) }).unwrap();
        let address = explorer.address();
        let (end, ended) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || {
            explorer.serve(async { drop(ended.await) }).unwrap();
        });
        let running = Self { address, end: Some(end), thread: Some(thread), _folder: folder };
        let began = Instant::now();
        while !running.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(began.elapsed() < Duration::from_secs(20), "never ready");
            thread::sleep(Duration::from_millis(20));
        }
        running
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream
    }

    /// Sends bytes as they are and reads until the service closes.
    fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The service may close before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    fn decode(&self) -> String {
        self.exchange(post("/api/runs/r/decode", DECODE).as_bytes())
    }

    /// A normal request is answered while others misbehave.
    fn answers_quickly(&self) {
        let began = Instant::now();
        let answer = self.decode();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }

    fn stop(mut self) -> Duration {
        let began = Instant::now();
        self.end.take().unwrap().send(()).unwrap();
        self.thread.take().unwrap().join().unwrap();
        began.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// How long until the service closes a connection on which `drip` is sent again and again.
fn closed_after(mut stream: TcpStream, first: &[u8], drip: &[u8]) -> Duration {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut open = stream.write_all(first).is_ok();
    let mut buffer = [0; 1024];
    while open && began.elapsed() < Duration::from_secs(20) {
        open = drip.is_empty() || stream.write_all(drip).is_ok();
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    began.elapsed()
}

/// S1.
#[test]
fn slow_clients_are_closed_and_hold_up_nobody() {
    let second = Duration::from_secs(1);
    let service = Running::start(Limits { header_time: second, body_time: second, ..Limits::default() });
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let stream = service.connect();
            thread::spawn(move || closed_after(stream, b"GET /healthz HTTP/1.1\r\n", b"X"))
        })
        .collect();
    let body = service.connect();
    let body = thread::spawn(move || {
        closed_after(
            body,
            b"POST /api/runs/r/decode HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n",
            b" ",
        )
    });
    let idle = service.connect();
    let idle = thread::spawn(move || closed_after(idle, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b""));
    service.answers_quickly();
    let most = Duration::from_secs(6);
    for slow in slow {
        assert!(slow.join().unwrap() < most, "slow headers");
    }
    assert!(body.join().unwrap() < most, "a slow body");
    assert!(idle.join().unwrap() < most, "an idle connection");
    service.answers_quickly();
}

/// S1: who asks for much and reads nothing is given up.
#[test]
fn slow_readers_are_closed() {
    let service = Running::start(Limits { write_time: Duration::from_millis(700), ..Limits::default() });
    let mut stream = service.connect();
    let body = r#"{"n": 1024}"#;
    // Far more answers than the system's buffers hold.
    for _ in 0..20 {
        let length = body.len();
        let request =
            format!("POST /api/runs/r/sample HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
    }
    thread::sleep(Duration::from_millis(2500));
    let open = || {
        let text = service.get("/metrics");
        let line = text.lines().find(|line| line.starts_with("elbo_connections ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(open(), 1, "only the one that asks");
    service.answers_quickly();
}

/// S1: connections beyond the cap wait, and are served when others have gone.
#[test]
fn connections_have_a_cap() {
    let service = Running::start(Limits { connections: 8, header_time: Duration::from_secs(1), ..Limits::default() });
    let idle: Vec<TcpStream> = (0..8).map(|_| service.connect()).collect();
    thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    assert!(service.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() > Duration::from_millis(500), "served beyond the cap after {:?}", began.elapsed());
    drop(idle);
    service.answers_quickly();
}

/// S2.
#[test]
fn heads_and_bodies_that_are_too_large_or_lie_are_refused() {
    let service = Running::start(Limits { body_bytes: 4096, body_time: Duration::from_secs(1), ..Limits::default() });
    let head =
        |rest: &str| format!("POST /api/runs/r/decode HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{rest}");
    let many: String = (0..10_000).map(|i| format!("X-{i}: 1\r\n")).collect();
    let chunks: String = "400\r\n".to_owned() + &" ".repeat(1024) + "\r\n";
    let cases = [
        ("declared 10 GB", head("Content-Length: 10000000000\r\n\r\n"), vec!["413"]),
        ("chunked without end", head("Transfer-Encoding: chunked\r\n\r\n") + &chunks.repeat(20), vec!["413"]),
        ("declares more than it sends", head("Content-Length: 100\r\n\r\n{}"), vec!["408"]),
        ("10,000 headers", head(&many) + "\r\n", vec!["431"]),
        ("1 MB header", head(&format!("X: {}\r\n\r\n", "a".repeat(1 << 20))), vec!["431"]),
        ("two lengths", head("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), vec!["400"]),
        ("no host", "GET /api/runs HTTP/1.1\r\nConnection: close\r\n\r\n".into(), vec!["400"]),
        ("no HTTP", "hello\r\n\r\n".into(), vec!["400"]),
        (
            "a path out",
            "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(),
            vec!["404"],
        ),
    ];
    for (name, bytes, expected) in cases {
        let answer = service.exchange(bytes.as_bytes());
        let status = answer.split(' ').nth(1).unwrap_or("closed").to_owned();
        // A connection with unread bytes may be reset before the answer is read.
        assert!(
            expected.contains(&status.as_str()) || (status == "closed" && bytes.len() > 5000),
            "{name}: {answer:.200}"
        );
        service.answers_quickly();
    }
}

/// S4, in small: every reply belongs to its request.
#[test]
fn many_clients_get_their_own_answers() {
    let service = Running::start(Limits::default());
    let ask = |value: f32| {
        service.exchange(post("/api/runs/r/sample", &format!(r#"{{"n": 1, "temperature": {value}}}"#)).as_bytes())
    };
    let alone: Vec<String> = (0..16).map(|i| ask(i as f32 * 0.1)).collect();
    thread::scope(|scope| {
        for client in 0..64 {
            let (alone, ask) = (&alone, &ask);
            scope.spawn(move || {
                for round in 0..10 {
                    let i = (client + round) % 16;
                    let (answer, expected) = (ask(i as f32 * 0.1), &alone[i]);
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.300}");
                    // The codes are exact; pixels may differ in the last bits, decoded together or alone.
                    let codes = |text: &str| text.split("\"z\":").nth(1).unwrap().to_owned();
                    assert_eq!(codes(&answer), codes(expected));
                }
            });
        }
    });
}

/// S7: of 64 clients whose requests were sent before the end, each gets its whole answer; who comes later is told that it is too late.
#[test]
fn what_has_begun_is_answered_whole_and_what_is_new_is_refused() {
    let mut service = Running::start(Limits::default());
    let address = service.address;
    let mut clients: Vec<TcpStream> = (0..64).map(|_| service.connect()).collect();
    let mut late = service.connect();
    for client in &mut clients {
        client.write_all(post("/api/runs/r/sample", r#"{"n": 512}"#).as_bytes()).unwrap();
    }
    // A request whose body is still on its way has begun too.
    let mut slow = service.connect();
    let body = r#"{"z": [[0.5, -1.0]]}"#;
    slow.write_all(&post("/api/runs/r/decode", body).as_bytes()[..post("/api/runs/r/decode", body).len() - 5]).unwrap();
    thread::sleep(Duration::from_millis(30));
    service.end.take().unwrap().send(()).unwrap();
    thread::sleep(Duration::from_millis(60));
    let read = |stream: &mut TcpStream| {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    // On a connection that is open, and on a new one.
    late.write_all(post("/api/runs/r/decode", DECODE).as_bytes()).unwrap();
    let refused = read(&mut late);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("connection: close"), "{refused}");
    let new = service.decode();
    assert!(new.starts_with("HTTP/1.1 503") && new.contains("being stopped"), "{new}");
    assert!(service.get("/healthz").starts_with("HTTP/1.1 200"), "alive");
    assert!(service.get("/readyz").starts_with("HTTP/1.1 503"), "not ready");
    slow.write_all(&body.as_bytes()[body.len() - 5..]).unwrap();
    for client in clients.iter_mut().chain([&mut slow]) {
        let answer = read(client);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.200}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        assert_eq!(body.len(), length.parse::<usize>().unwrap(), "a whole answer");
    }
    service.thread.take().unwrap().join().unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

/// S7.
#[test]
fn the_end_waits_for_what_is_under_way() {
    let service = Running::start(Limits::default());
    let address = service.address;
    let (begun, wait) = mpsc::channel();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let begun = begun.clone();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
                stream.write_all(post("/api/runs/r/sample", r#"{"n": 1024}"#).as_bytes()).unwrap();
                begun.send(()).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                String::from_utf8_lossy(&answer).into_owned()
            })
        })
        .collect();
    (0..20).for_each(|_| wait.recv().unwrap());
    let took = service.stop();
    assert!(took < Duration::from_secs(20), "{took:?}");
    for client in clients {
        let answer = client.join().unwrap();
        let status = answer.split(' ').nth(1).unwrap_or("none").to_owned();
        assert!(["200", "503"].contains(&status.as_str()), "{answer:.200}");
        if status == "200" {
            assert!(answer.ends_with('}'), "a whole answer");
        }
    }
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn options_are_checked() {
    let device = elbo::device::choose("cpu").unwrap();
    let options = Options::new(Vec::new(), device);
    let open = Options { host: [0, 0, 0, 0].into(), ..options.clone() };
    assert!(open.check().unwrap_err().to_string().contains("--token"));
    assert!(Options { token: Some("0123456789".into()), ..open.clone() }.check().is_ok());
    for token in ["", "short", "with blank 123", "semi;colon123"] {
        assert!(Options { token: Some(token.into()), ..open.clone() }.check().is_err(), "{token}");
    }
    let first = Explorer::bind(options.clone()).unwrap();
    let taken = Explorer::bind(Options { port: first.address().port(), ..options });
    assert!(taken.err().unwrap().to_string().contains("--port"));
}
