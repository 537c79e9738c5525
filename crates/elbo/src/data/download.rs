//! Fetches one file from a list of mirrors, so that only a whole and checked file ever carries its final name.
//!
//! Bytes go to a `.part` file beside the target. A connection that breaks is taken up where it stopped (HTTP `Range`),
//! in the same call or in a later run; what arrives is checked by the caller's function, and only then synced and
//! renamed. A `.part` that fails the check is thrown away and fetched once more from the start, since it may have been
//! pieced together from two versions of the file. Every transfer is bounded in bytes, in time and in attempts.
//!
//! Two runs that start at once on a fresh machine would write to the same `.part`; the second waits for the lock and
//! then finds the file there. The lock is one file per folder that stays behind: removing a lock file is a race.
//!
//! Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`), as other tools do.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::http::{Response, header};
use ureq::{Agent, Body, Proxy};

use crate::error::{Error, Result};

/// Requests made to one mirror before the next is tried.
const ATTEMPTS: usize = 4;

/// How much of everything a download may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest file accepted, in bytes.
    pub max_bytes: u64,
    /// Longest time to reach a server.
    pub connect: Duration,
    /// Longest time without a single byte.
    pub stall: Duration,
    /// Longest time for all mirrors and attempts together, and for waiting on another run's lock.
    pub total: Duration,
}

impl Limits {
    /// Limits for a file of at most `max_bytes`: 15 s to connect, 30 s without a byte, half an hour in all.
    pub fn for_size(max_bytes: u64) -> Self {
        let seconds = Duration::from_secs;
        Self { max_bytes, connect: seconds(15), stall: seconds(30), total: seconds(1800) }
    }
}

/// Fetches `target` from the first of `urls` that gives a file which passes `check`.
///
/// `check` is called with the path of the complete but not yet renamed file. `progress` is called with the bytes there
/// are and the bytes there will be, where the server says so. If `target` exists and passes the check already, nothing
/// is fetched; if it does not pass, it is replaced.
///
/// # Errors
/// [`Error::Download`] if no mirror gave a good file: the message says what each of them did. [`Error::Io`] if the file
/// cannot be written.
///
/// ```
/// use elbo::data::download::{Limits, download};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let target = folder.path().join("train-images-idx3-ubyte.gz");
/// std::fs::write(&target, "already here").unwrap();
/// let check = |_: &std::path::Path| Ok(()); // for example: the sha256 of the content
/// let urls = ["https://example.org/train-images-idx3-ubyte.gz".to_owned()];
/// download(&urls, &target, &Limits::for_size(64 << 20), &check, &mut |_, _| {})?; // asks nobody
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn download(
    urls: &[String],
    target: &Path,
    limits: &Limits,
    check: &dyn Fn(&Path) -> Result<()>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<()> {
    download_through(Proxy::try_from_env(), urls, target, limits, check, progress)
}

fn download_through(
    proxy: Option<Proxy>,
    urls: &[String],
    target: &Path,
    limits: &Limits,
    check: &dyn Fn(&Path) -> Result<()>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<()> {
    let deadline = Instant::now() + limits.total;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    let _lock = lock(folder, deadline)?;
    if target.is_file() && check(target).is_ok() {
        return Ok(());
    }
    let mut part = OsString::from(target);
    part.push(".part");
    let mut transfer = Transfer {
        agent: agent(limits, proxy),
        part: part.into(),
        max_bytes: limits.max_bytes,
        deadline,
        check,
        progress,
    };
    transfer.try_mirrors(urls, target)?;
    publish(&transfer.part, target, folder)
}

fn agent(limits: &Limits, proxy: Option<Proxy>) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(proxy)
        .timeout_connect(Some(limits.connect))
        .timeout_recv_response(Some(limits.stall))
        .timeout_per_read(Some(limits.stall))
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Waits until no other run downloads into `folder`. `None` where the file system knows no locks.
fn lock(folder: &Path, deadline: Instant) -> Result<Option<File>> {
    let path = folder.join(".download.lock");
    let file = File::create(&path).map_err(Error::io(&path, "create"))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::WouldBlock) => {
                let help = "wait for the other run to end, or end it";
                return Err(Error::data(path, "lock", "to be free", "held by another run that downloads", help));
            }
        }
    }
}

/// Gives the checked file its final name, so that it is there after a power cut or not at all.
fn publish(part: &Path, target: &Path, folder: &Path) -> Result<()> {
    // Opened for writing because some systems sync no other handle.
    OpenOptions::new().write(true).open(part).and_then(|file| file.sync_all()).map_err(Error::io(part, "sync"))?;
    fs::rename(part, target).map_err(Error::io(target, "rename"))?;
    // Not every system can open a folder to sync it; the rename itself has succeeded.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Why a mirror did not deliver.
enum Failure {
    /// It will not: try the next one.
    Refused(String),
    /// It stopped midway: ask for the rest.
    Cut(String),
    /// This machine cannot store the file: no mirror can help.
    Local(Box<Error>),
}

struct Transfer<'a> {
    agent: Agent,
    part: PathBuf,
    max_bytes: u64,
    deadline: Instant,
    check: &'a dyn Fn(&Path) -> Result<()>,
    progress: &'a mut dyn FnMut(u64, Option<u64>),
}

impl Transfer<'_> {
    fn try_mirrors(&mut self, urls: &[String], target: &Path) -> Result<()> {
        let mut message = String::new();
        for url in urls {
            match self.try_mirror(url) {
                Ok(()) => return Ok(()),
                Err(Failure::Local(error)) => return Err(*error),
                Err(Failure::Refused(reason) | Failure::Cut(reason)) if message.is_empty() => message = reason,
                Err(Failure::Refused(reason) | Failure::Cut(reason)) => {
                    message.push_str(&format!("; nor {url}: {reason}"));
                }
            }
        }
        let Some(url) = urls.first().cloned() else {
            let help = format!("put the file at {}", target.display());
            let url = target.display().to_string();
            return Err(Error::Download { url, message: "no address is known for it".into(), help });
        };
        let help = format!(
            "check the network connection and try again (what has arrived is kept), or fetch the file in another way \
             and put it at {}",
            target.display()
        );
        Err(Error::Download { url, message, help })
    }

    fn try_mirror(&mut self, url: &str) -> Result<(), Failure> {
        let mut damaged = false;
        let mut last = "nothing has arrived".to_owned();
        for _ in 0..ATTEMPTS {
            if Instant::now() >= self.deadline {
                return Err(Failure::Refused(format!("the time for it is used up; {last}")));
            }
            match self.fetch(url) {
                Ok(()) => match (self.check)(&self.part) {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        self.discard()?;
                        last = complaint(&error);
                        if std::mem::replace(&mut damaged, true) {
                            break;
                        }
                    }
                },
                Err(Failure::Cut(message)) => last = message,
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Refused(last))
    }

    /// Asks once for what is missing of the part file. `Ok` means the server has no more to give.
    fn fetch(&mut self, url: &str) -> Result<(), Failure> {
        let have = fs::metadata(&self.part).map_or(0, |meta| meta.len());
        let left = self.deadline.saturating_duration_since(Instant::now());
        let request = self.agent.get(url).config().timeout_global(Some(left)).build();
        let mut request = request.header(header::ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| Failure::Refused(error.to_string()))?;
        let start = match response.status().as_u16() {
            200 => 0,
            206 if range_start(&response) == Some(have) => have,
            206 => {
                self.discard()?;
                return Err(Failure::Cut("the server sent another part of the file than asked".into()));
            }
            // Nothing lies behind what is there: the file is complete, or wrong, as the check will tell.
            416 if have > 0 => return Ok(()),
            status => return Err(Failure::Refused(format!("the server answered {status}"))),
        };
        let total = body_length(&response).map(|length| start.saturating_add(length));
        if let Some(total) = total.filter(|&total| total > self.max_bytes) {
            return Err(Failure::Refused(format!("offers {total} bytes, expected at most {}", self.max_bytes)));
        }
        self.store(response.into_body(), start, total)
    }

    fn store(&mut self, body: Body, start: u64, total: Option<u64>) -> Result<(), Failure> {
        let local = |error| self.local("write", error);
        let mut options = OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(false).open(&self.part).map_err(local)?;
        file.set_len(start).and_then(|()| std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))).map_err(local)?;
        let mut reader = body.into_reader();
        let mut done = start;
        let mut chunk = vec![0; 64 * 1024];
        (self.progress)(done, total);
        loop {
            let read = reader.read(&mut chunk).map_err(|error| Failure::Cut(format!("{error} after {done} bytes")))?;
            if read == 0 {
                break;
            }
            done += read as u64;
            if done > self.max_bytes {
                self.discard()?;
                return Err(Failure::Refused(format!("sends more than {} bytes", self.max_bytes)));
            }
            file.write_all(&chunk[..read]).map_err(|error| self.local("write", error))?;
            (self.progress)(done, total);
        }
        Ok(())
    }

    fn local(&self, action: &'static str, error: std::io::Error) -> Failure {
        Failure::Local(Box::new(Error::io(&self.part, action)(error)))
    }

    fn discard(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.local("remove", error)),
            _ => Ok(()),
        }
    }
}

/// What the check said, without the name of the part file, which is gone by the time it is read.
fn complaint(error: &Error) -> String {
    match error {
        Error::Data { place, expected, found, .. } => format!("{place}: expected {expected}, found {found}"),
        other => other.to_string(),
    }
}

/// The first byte of a partial answer: `Content-Range: bytes START-END/TOTAL`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn body_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A server on the loopback device that gives scripted answers, one per connection.
#[cfg(test)]
pub(super) mod loopback {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    /// One scripted answer, given the request's first byte wanted (from its `Range`, else 0) and its path.
    pub type Answer = Box<dyn Fn(usize, &str) -> Vec<u8> + Send>;

    /// The running server: its address and the requests it has seen.
    pub struct Server {
        pub url: String,
        pub requests: Arc<Mutex<Vec<String>>>,
    }

    /// Serves `answers` in order; the last one again for every further request.
    pub fn serve(answers: Vec<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.gz", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let start = wanted_from(&request);
                seen.lock().unwrap().push(request);
                // The client may have hung up: a broken pipe here is its right.
                let _ = stream.write_all(&answers[count.min(answers.len() - 1)](start, &path));
            }
        });
        Server { url, requests }
    }

    fn read_request(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            request.push(byte[0]);
        }
        String::from_utf8(request).unwrap()
    }

    fn wanted_from(request: &str) -> usize {
        let lower = request.to_lowercase();
        let range = lower.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
        range.map_or(0, |start| start.parse().unwrap())
    }

    /// An answer with a status line, headers and body; `length` may promise more than the body gives.
    pub fn answer(status: &str, extra: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{extra}\r\n");
        [head.as_bytes(), body].concat()
    }

    /// Serves `file` as a good server does, with ranges; each answer stops after `most` bytes of body.
    pub fn ranged(file: Vec<u8>, most: usize) -> Answer {
        Box::new(move |start, _| {
            if start >= file.len() {
                return answer("416 Range Not Satisfiable", "", 0, b"");
            }
            let rest = &file[start..];
            let given = &rest[..rest.len().min(most)];
            match start {
                0 => answer("200 OK", "", rest.len(), given),
                _ => {
                    let range = format!("Content-Range: bytes {start}-{}/{}\r\n", file.len() - 1, file.len());
                    answer("206 Partial Content", &range, rest.len(), given)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::loopback::{Answer, answer, ranged, serve};
    use super::*;
    use crate::data::idx::hex;
    use sha2::{Digest, Sha256};

    fn content() -> Vec<u8> {
        (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
    }

    fn limits() -> Limits {
        let seconds = Duration::from_secs;
        Limits { max_bytes: 1_000_000, connect: seconds(5), stall: seconds(5), total: seconds(20) }
    }

    fn check(path: &Path) -> Result<()> {
        let (expected, found) = (hex(&Sha256::digest(content())), hex(&Sha256::digest(fs::read(path).unwrap())));
        if expected == found { Ok(()) } else { Err(Error::data(path, "content", expected, found, "fetch it again")) }
    }

    /// Downloads from `urls` into a fresh folder that may hold a part file already.
    fn run(urls: &[String], part: Option<&[u8]>, limits: &Limits) -> (tempfile::TempDir, Result<()>, Vec<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("deep/file.gz");
        if let Some(part) = part {
            fs::create_dir(folder.path().join("deep")).unwrap();
            fs::write(folder.path().join("deep/file.gz.part"), part).unwrap();
        }
        let mut steps = Vec::new();
        let result = download_through(None, urls, &target, limits, &check, &mut |done, total| {
            assert!(total.is_none_or(|total| done <= total));
            steps.push(done);
        });
        let names: Vec<_> =
            fs::read_dir(target.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        match &result {
            Ok(()) => {
                assert_eq!(fs::read(&target).unwrap(), content());
                assert!(!names.contains(&"file.gz.part".into()), "{names:?}");
            }
            Err(_) => assert!(!names.contains(&"file.gz".into()), "{names:?}"),
        }
        (folder, result, steps)
    }

    fn message(result: Result<()>) -> String {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Download { .. }) && error.help().contains("file.gz"), "{error:?}");
        error.to_string()
    }

    fn constant(bytes: Vec<u8>) -> Answer {
        Box::new(move |_, _| bytes.clone())
    }

    #[test]
    fn a_whole_file_is_fetched_and_progress_reaches_its_end() {
        let server = serve(vec![ranged(content(), usize::MAX)]);
        let (_, result, steps) = run(&[server.url], None, &limits());
        result.unwrap();
        assert!(steps.is_sorted());
        assert_eq!(steps.last(), Some(&300_000));
    }

    #[test]
    fn a_cut_connection_is_resumed_where_it_stopped() {
        let server = serve(vec![ranged(content(), 100_000)]);
        let (_, result, _) = run(std::slice::from_ref(&server.url), None, &limits());
        result.unwrap();
        let requests = server.requests.lock().unwrap();
        let ranges: Vec<_> = requests.iter().map(|request| request.to_lowercase().contains("range: bytes=")).collect();
        assert_eq!(ranges, [false, true, true]);
        assert!(requests[1].contains("bytes=100000-"), "{}", requests[1]);
    }

    #[test]
    fn a_part_of_an_earlier_run_is_completed() {
        let server = serve(vec![ranged(content(), usize::MAX)]);
        run(std::slice::from_ref(&server.url), Some(&content()[..250_000]), &limits()).1.unwrap();
        assert!(server.requests.lock().unwrap()[0].contains("bytes=250000-"));
    }

    #[test]
    fn a_complete_part_needs_no_bytes_and_a_too_long_one_is_fetched_anew() {
        let server = serve(vec![ranged(content(), usize::MAX)]);
        run(std::slice::from_ref(&server.url), Some(&content()), &limits()).1.unwrap();
        assert_eq!(server.requests.lock().unwrap().len(), 1);
        run(std::slice::from_ref(&server.url), Some(&[content(), content()].concat()), &limits()).1.unwrap();
    }

    #[test]
    fn a_server_without_ranges_starts_over() {
        let whole = constant(answer("200 OK", "", 300_000, &content()));
        let server = serve(vec![constant(answer("200 OK", "", 300_000, &content()[..70_000])), whole]);
        run(&[server.url], None, &limits()).1.unwrap();
    }

    #[test]
    fn a_part_of_another_file_is_thrown_away_and_fetched_from_the_start() {
        let server = serve(vec![ranged(content(), usize::MAX)]);
        run(std::slice::from_ref(&server.url), Some(&[7; 1000]), &limits()).1.unwrap();
        let requests = server.requests.lock().unwrap();
        assert_eq!(requests.len(), 2);
        assert!(!requests[1].to_lowercase().contains("range: bytes="));
    }

    #[test]
    fn a_wrong_range_is_not_glued_on() {
        let wrong = answer("206 Partial Content", "Content-Range: bytes 5-9/300000\r\n", 5, b"xxxxx");
        // The damaged answer takes the one restart there is: a wrong range must not have taken it before.
        let damaged = answer("200 OK", "", 300_000, &[7; 300_000]);
        let server = serve(vec![constant(wrong), constant(damaged), ranged(content(), usize::MAX)]);
        run(&[server.url], Some(&content()[..1000]), &limits()).1.unwrap();
    }

    #[test]
    fn the_second_mirror_is_asked_when_the_first_has_nothing() {
        let empty = serve(vec![constant(answer("404 Not Found", "", 4, b"gone"))]);
        let full = serve(vec![ranged(content(), usize::MAX)]);
        run(&[empty.url.clone(), full.url], None, &limits()).1.unwrap();
        let error = message(run(&[empty.url.clone(), empty.url], None, &limits()).1);
        assert_eq!(error.matches("the server answered 404").count(), 2, "{error}");
    }

    #[test]
    fn corrupted_content_names_both_hashes_and_is_fetched_at_most_twice() {
        let mut bad = content();
        bad[1234] ^= 1;
        let server = serve(vec![ranged(bad.clone(), usize::MAX)]);
        let (folder, result, _) = run(std::slice::from_ref(&server.url), None, &limits());
        let error = message(result);
        assert!(error.contains(&hex(&Sha256::digest(content()))), "{error}");
        assert!(error.contains(&hex(&Sha256::digest(&bad))), "{error}");
        assert_eq!(server.requests.lock().unwrap().len(), 2);
        assert!(!folder.path().join("deep/file.gz.part").exists(), "a damaged part is not kept");
    }

    #[test]
    fn attempts_are_counted_and_what_arrived_is_kept() {
        let server = serve(vec![ranged(content(), 1000)]);
        let (folder, result, _) = run(std::slice::from_ref(&server.url), None, &limits());
        message(result);
        assert_eq!(server.requests.lock().unwrap().len(), ATTEMPTS);
        assert_eq!(fs::read(folder.path().join("deep/file.gz.part")).unwrap(), content()[..4000]);
    }

    #[test]
    fn too_large_a_file_is_refused_whether_announced_or_not() {
        let small = Limits { max_bytes: 200_000, ..limits() };
        let server = serve(vec![ranged(content(), usize::MAX)]);
        assert!(message(run(&[server.url], None, &small).1).contains("offers 300000 bytes, expected at most 200000"));
        let unannounced = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", content().as_slice()].concat();
        let server = serve(vec![constant(unannounced)]);
        assert!(message(run(&[server.url], None, &small).1).contains("sends more than 200000 bytes"));
    }

    #[test]
    fn a_silent_server_does_not_hold_us() {
        let silent: Answer = Box::new(|_, _| {
            std::thread::sleep(Duration::from_secs(10));
            Vec::new()
        });
        let server = serve(vec![silent]);
        let begun = Instant::now();
        let short = Duration::from_millis(200);
        for hasty in [Limits { stall: short, ..limits() }, Limits { total: short, ..limits() }] {
            assert!(message(run(std::slice::from_ref(&server.url), None, &hasty).1).contains("timeout"));
        }
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn a_server_that_falls_silent_midway_does_not_hold_us() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.gz", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(&answer("200 OK", "", 300_000, &content()[..1000]));
                held.push(stream);
            }
        });
        let begun = Instant::now();
        message(run(&[url], None, &Limits { stall: Duration::from_millis(200), ..limits() }).1);
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn nobody_listening_and_no_mirrors_are_errors() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        message(run(&[format!("http://{closed}/file.gz")], None, &limits()).1);
        message(run(&[], None, &limits()).1);
        message(run(&["not an address".into()], None, &limits()).1);
    }

    #[test]
    fn two_runs_at_once_fetch_once() {
        let server = serve(vec![ranged(content(), usize::MAX)]);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.gz");
        let urls = [server.url];
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| download_through(None, &urls, &target, &limits(), &check, &mut |_, _| {}).unwrap());
            }
        });
        assert_eq!(server.requests.lock().unwrap().len(), 1);
        assert_eq!(fs::read(target).unwrap(), content());
    }
}
