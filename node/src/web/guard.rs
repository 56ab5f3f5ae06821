//! What every request passes and every answer carries, whichever page it is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use tower_http::csrf::CsrfLayer;

use tokio::sync::Semaphore;

use super::{BODY_MAX, forms, import, kinds};

/// Names by which these pages may be asked for. Anything else is a page of another site that has pointed
/// its name here (DNS rebinding).
#[derive(Clone, Debug)]
pub struct Hosts(Arc<[String]>);

impl Hosts {
    /// The names of a bound loopback address, the host that is these pages' own, and those that were allowed besides: `name`
    /// with any port, for a port that is forwarded, or `name:port`.
    #[must_use]
    pub fn new(bound: SocketAddr, host: Option<SocketAddr>, allowed: &[String]) -> Self {
        let port = bound.port();
        let own = [
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
            bound.to_string(),
        ];
        let allowed = allowed.iter().map(|host| host.trim().to_ascii_lowercase());
        let host = host.map(|host| host.to_string());
        Self(own.into_iter().chain(host).chain(allowed).collect())
    }

    fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let digits = |port: &str| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
        self.0.iter().any(|known| {
            let rest = host.strip_prefix(known.as_str());
            let any_port = |rest: &str| rest.strip_prefix(':').is_some_and(digits);
            rest.is_some_and(|rest| rest.is_empty() || (!known.contains(':') && any_port(rest)))
        })
    }
}

/// Time for the body of a form: it comes from a browser on this computer.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Puts the outer checks around pages: whether it is they that are asked.
pub(super) fn around(router: Router, hosts: Hosts) -> Router {
    router.layer(from_fn_with_state(hosts, check))
}

/// Puts the inner checks around pages: the origin first, then the body in bounded size and time.
pub(super) fn whole(router: Router) -> Router {
    router.layer(from_fn(all)).layer(CsrfLayer::new())
}

/// Waits for the whole body, so that no page waits for the rest of one.
async fn all(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // A table or an office's form is larger than anything that is typed.
    let most = match parts.uri.path() {
        "/import" => import::FORM_MAX,
        "/forms" => forms::FORM_MAX,
        kinds::PAGE => kinds::FORM_MAX,
        _ => BODY_MAX,
    };
    match tokio::time::timeout(BODY_TIME, bounded(body, most)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(status)) => status.into_response(),
        Err(_) => {
            let said = "408: the form did not come\n";
            (StatusCode::REQUEST_TIMEOUT, said).into_response()
        }
    }
}

/// Large bodies that are taken at once: who sends them need not be logged in yet.
static LARGE: Semaphore = Semaphore::const_new(2);

async fn bounded(body: Body, most: usize) -> Result<Vec<u8>, StatusCode> {
    let mut stream = body.into_data_stream();
    let mut held = Vec::new();
    let mut turn = None;
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|_| StatusCode::BAD_REQUEST)?;
        if held.len() + bytes.len() > most {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if held.len() + bytes.len() > BODY_MAX && turn.is_none() {
            let free = LARGE.acquire().await;
            turn = Some(free.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?);
        }
        held.extend_from_slice(&bytes);
    }
    Ok(held)
}

async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut named = request.headers().get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let known = host.is_some_and(|host| hosts.allow(host)) && named.next().is_none();
    let absolute = request.uri().authority();
    let same = absolute.is_none_or(|it| host.is_some_and(|host| host == it.as_str()));
    let mut answer = if request.version() != Version::HTTP_11 || !known || !same {
        (
            StatusCode::MISDIRECTED_REQUEST,
            "421: this is no address of these pages\n",
        )
            .into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in ANSWERS {
        let headers = answer.headers_mut();
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    answer
}

/// What answers carry unless a page has said otherwise. The policy lets a page load what this server
/// serves and nothing else, and run no script that stands in the page itself.
const ANSWERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
         connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
         require-trusted-types-for 'script'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_and_allowed_ones_are_answered() {
        let hosts = Hosts::new(
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            Some(SocketAddr::from(([127, 99, 1, 2], 8080))),
            &["demo.example".to_owned(), "box:9000".to_owned()],
        );
        for host in [
            "127.0.0.1:8080",
            "localhost:8080",
            "[::1]:8080",
            "LOCALHOST:8080",
            "127.99.1.2:8080",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in ["demo.example", "demo.example:1234", "box:9000"] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:80800",
            "127.0.0.1:8080:1",
            "evil.example",
            "demo.example.evil",
            "demo.example:",
            "demo.example:8a",
            "localhost:8081",
            "127.99.1.2",
            "127.99.1.3:8080",
            "box",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }
}
