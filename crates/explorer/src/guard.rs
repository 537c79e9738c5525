//! Who may ask: the checks before every request, and the headers after it.
//!
//! A service on the loopback address is not private by that alone. Any web page the user visits may send requests to it, and a name that
//! suddenly resolves to 127.0.0.1 (DNS rebinding) makes the browser believe that page and service are one. Hence: the `Host` must be this
//! machine, a request from another page (`Origin`, `Sec-Fetch-Site`) is refused, and anything but the loopback address needs a token.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::problem::{Problem, shortened};

/// The cookie that carries the token once the page has been opened with it.
const COOKIE: &str = "elbo_token";

/// Sent with every answer. Scripts, styles and connections are the service's own; nothing is fetched from anywhere else.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
         font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// What is asked of every request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    /// Compared with the request's, where there is one.
    pub token: Option<String>,
    /// Whether only this machine is served, so that only its own names are good.
    pub loopback: bool,
}

impl Guard {
    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
        let host = self.check_host(headers, uri)?;
        check_origin(headers, &host)?;
        let free = matches!(uri.path(), "/healthz" | "/readyz");
        match &self.token {
            Some(token) if !free && !carries(headers, token) => {
                let message = "give the token: `Authorization: Bearer TOKEN`, or open `/?token=TOKEN` once";
                Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
            }
            _ => Ok(()),
        }
    }

    /// The host asked for, which must be this one. Other machines know this one by names it does not know itself: there the token decides.
    fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<String, Problem> {
        let given: Vec<&str> =
            headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default()).collect();
        let absolute = uri.authority().map(|authority| authority.as_str());
        let refused = |host: &str, why: &str| {
            Err(Problem::new(StatusCode::BAD_REQUEST, "host", format!("the host `{}` {why}", shortened(host))))
        };
        // An address with a host of its own and a header that names another: a proxy and this service would each believe one.
        let host = match (given.as_slice(), absolute) {
            ([host], None) => *host,
            ([], Some(host)) => host,
            ([host], Some(other)) if host.eq_ignore_ascii_case(other) => *host,
            ([], None) => return refused("", "is missing"),
            ([_], Some(other)) => return refused(other, "in the address is not the one in the header"),
            ([_, second, ..], _) => return refused(second, "is a second one"),
        };
        let Some(name) = host_name(host) else { return refused(host, "is no name or number with a port") };
        match self.loopback && !is_loopback(name) {
            true => refused(host, "is not this one: ask for 127.0.0.1 or localhost"),
            false => Ok(host.to_owned()),
        }
    }
}

/// The name in `NAME`, `NAME:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`, and in nothing else.
fn host_name(host: &str) -> Option<&str> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            (address.parse::<Ipv6Addr>().is_ok().then_some(address)?, rest)
        }
        None => {
            let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            ((!name.is_empty() && name.bytes().all(plain)).then_some(name)?, rest)
        }
    };
    let is_port =
        |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)).then_some(name)
}

/// Whether a name is one of this machine.
fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses what another page sends. Browsers add `Origin` to such requests; other clients add none.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let foreign = match text(&header::ORIGIN) {
        Some(origin) => origin.split_once("://").is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host)),
        None => false,
    };
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    // A link from elsewhere may open the page; its scripts may not ask for anything.
    let navigates = text(&HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    if foreign || (matches!(site, Some("cross-site" | "same-site")) && !navigates) {
        let message = "requests from other pages are refused";
        return Err(Problem::new(StatusCode::FORBIDDEN, "origin", message));
    }
    Ok(())
}

fn carries(headers: &HeaderMap, token: &str) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bearer = text(header::AUTHORIZATION);
    let cookies = text(header::COOKIE);
    let cookie = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    [bearer.strip_prefix("Bearer "), cookie].into_iter().flatten().any(|given| same(given, token))
}

/// Equality in a time that tells nothing of where the difference is.
fn same(given: &str, token: &str) -> bool {
    let difference = given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && difference == 0
}

/// `/?token=TOKEN` becomes a cookie that scripts cannot read, and the address is cleaned.
fn sign_in(guard: &Guard, uri: &Uri) -> Option<Response> {
    let token = guard.token.as_deref()?;
    let given = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    if uri.path() != "/" || !same(given, token) {
        return None;
    }
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    Some((StatusCode::SEE_OTHER, [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)]).into_response())
}

/// The layer around everything.
pub(crate) async fn protect(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match app.guard.check_host(request.headers(), request.uri()) {
        Ok(_) => match sign_in(&app.guard, request.uri()) {
            Some(response) => response,
            None => match app.guard.check(request.headers(), request.uri()) {
                Ok(()) => next.run(request).await,
                Err(problem) => problem.into_response(),
            },
        },
        Err(problem) => problem.into_response(),
    };
    if response.status().is_client_error()
        && response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json")
    {
        // What the router refuses by itself, in our words.
        let status = response.status();
        response = Problem::new(status, "malformed", status.canonical_reason().unwrap_or("refused")).into_response();
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(guard: &Guard, hosts: &[&str], address: &str) -> Result<String, Problem> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        guard.check_host(&headers, &address.parse().unwrap())
    }

    #[test]
    fn only_plain_names_of_this_machine_are_let_in() {
        let here = Guard { token: None, loopback: true };
        for host in ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:80", "127.1.2.3", "[::1]:8080", "[::1]"] {
            assert!(asked(&here, &[host], "/api/runs").is_ok(), "{host}");
            assert!(asked(&here, &[host], &format!("http://{host}/api/runs")).is_ok(), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:1",
            "::1",
            "[::1].evil.example",
            "[::1]evil.example",
            "[::1]:80evil",
            "[::1",
            "[127.0.0.1]",
            "[localhost]",
            "[::1%25lo]",
            "localhost:80@evil.example",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "localhost:+80",
            "localhost:80:80",
            "localhost/evil.example",
            "localhost#",
            "localhost?x",
            "localhost evil",
            " localhost",
            "localhost,evil.example",
            "localhost\\evil",
            "127.0.0.1:80, evil.example",
            "localhost.",
            "0.0.0.0",
            "2130706433",
            "127.1",
            "\u{ff4c}ocalhost",
        ] {
            assert!(asked(&here, &[host], "/api/runs").is_err(), "{host}");
        }
        assert!(asked(&here, &[], "/").is_err() && asked(&here, &["127.0.0.1", "evil.example"], "/").is_err());
        assert!(asked(&here, &["127.0.0.1", "127.0.0.1"], "/").is_err());
        assert!(asked(&here, &["127.0.0.1"], "http://evil.example/api/runs").is_err());
        assert!(asked(&here, &["evil.example"], "http://127.0.0.1/api/runs").is_err());
        assert!(asked(&here, &[], "http://127.0.0.1/api/runs").is_ok());
    }

    #[test]
    fn elsewhere_a_host_still_has_to_be_one() {
        let open = Guard { token: Some("a-secret-token".into()), loopback: false };
        assert!(asked(&open, &["machine.example:80"], "/").is_ok());
        for hosts in [&["a", "b"][..], &["a@b"], &["[::1].a"], &[""], &[]] {
            assert!(asked(&open, hosts, "/").is_err(), "{hosts:?}");
        }
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("ab", "abc") && !same("", "a"));
    }

    #[test]
    fn only_the_own_page_may_ask() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        let host = "127.0.0.1:8080";
        assert!(check_origin(&HeaderMap::new(), host).is_ok());
        assert!(check_origin(&headers("origin", "http://127.0.0.1:8080"), host).is_ok());
        for origin in ["http://127.0.0.1:8081", "http://evil.example", "null", "http://127.0.0.1:8080.evil.example"] {
            assert!(check_origin(&headers("origin", origin), host).is_err(), "{origin}");
        }
        assert!(check_origin(&headers("sec-fetch-site", "cross-site"), host).is_err());
        assert!(check_origin(&headers("sec-fetch-site", "same-origin"), host).is_ok());
    }
}
