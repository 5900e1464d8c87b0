//! WHIP over HTTP ([RFC 9725](https://www.rfc-editor.org/rfc/rfc9725)): an offer is posted, and what comes back is an answer.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use serde_json::json;
use sv_ingest::gateway::{Ask, Entrance, Grant, Patched, Trouble, Verdict, Whip};
use sv_ingest::whip::{Fragment, MOST_BYTES, MOST_OFFER};
use tokio::sync::oneshot;

const OFFER: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// What the handlers need; the listener may come later than the router.
#[derive(Clone, Debug, Default)]
pub(super) struct Door(Arc<OnceLock<Ready>>);

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) whip: Whip,
    pub(super) entrance: Entrance,
    /// Servers that tell senders how they look from outside, each as `Link` has it.
    pub(super) links: Vec<HeaderValue>,
}

impl Door {
    /// Opens it. False where it was open before.
    pub(super) fn open(&self, ready: Ready) -> bool {
        self.0.set(ready).is_ok()
    }

    fn ready(&self) -> Result<&Ready, Problem> {
        self.0.get().ok_or(Problem(StatusCode::NOT_FOUND, "this gateway takes nothing by WHIP".into()))
    }
}

/// Why not, as [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) has it.
#[derive(Debug)]
struct Problem(StatusCode, String);

impl From<Problem> for Response {
    fn from(Problem(status, detail): Problem) -> Self {
        let body = json!({ "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        let (status, detail) = match trouble {
            Trouble::Missing => (StatusCode::NOT_FOUND, "there is no such session, or it has ended".into()),
            Trouble::Untagged => {
                (StatusCode::PRECONDITION_REQUIRED, "say in If-Match which ETag this is about".into())
            }
            Trouble::Stale => {
                (StatusCode::PRECONDITION_FAILED, "ICE has begun anew since: that ETag is of before".into())
            }
            Trouble::Conflict => {
                let detail = "this is another name of ICE: to begin ICE anew, say If-Match: *";
                (StatusCode::CONFLICT, detail.into())
            }
            Trouble::Full => {
                (StatusCode::SERVICE_UNAVAILABLE, "there are too many sessions; try again later".into())
            }
            Trouble::Wrong(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "the gateway stops".into()),
        };
        Self(status, detail)
    }
}

pub(super) fn router(door: &Door) -> Router {
    let endpoint = || post(offer).options(options).fallback(other);
    let session: MethodRouter<Door> =
        axum::routing::patch(fragment).delete(end).options(options).fallback(other);
    Router::new()
        .route("/whip", endpoint())
        .route("/whip/{name}", endpoint())
        .route("/whip/session/{id}", session)
        .layer(from_fn(open_to_pages))
        .with_state(door.clone())
}

/// Pages of other origins may send: what lets somebody in is a key, never a cookie.
async fn open_to_pages(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = HeaderValue::from_static("Location, ETag, Link, Accept-Post, Retry-After");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    response
}

async fn options(State(door): State<Door>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let mut say =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    say(header::ACCESS_CONTROL_ALLOW_METHODS, "POST, PATCH, DELETE, OPTIONS");
    say(header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match");
    say(header::ACCESS_CONTROL_MAX_AGE, "86400");
    say(HeaderName::from_static("accept-post"), OFFER);
    if let Ok(ready) = door.ready() {
        link(&mut response, ready);
    }
    response
}

fn link(response: &mut Response, ready: &Ready) {
    for value in &ready.links {
        response.headers_mut().append(header::LINK, value.clone());
    }
}

async fn other(method: Method) -> Response {
    Problem(StatusCode::METHOD_NOT_ALLOWED, format!("{method} means nothing here")).into()
}

fn is_of(headers: &HeaderMap, kind: &str) -> bool {
    let told = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    told.and_then(|told| told.split(';').next()).is_some_and(|told| told.trim().eq_ignore_ascii_case(kind))
}

async fn text(body: Body, most: usize) -> Result<String, Problem> {
    let long = || Problem(StatusCode::PAYLOAD_TOO_LARGE, format!("no more than {most} bytes are read"));
    let bytes = to_bytes(body, most).await.map_err(|_| long())?;
    let wrong = |_| Problem(StatusCode::UNPROCESSABLE_ENTITY, "the body is no text in UTF-8".into());
    String::from_utf8(bytes.into()).map_err(wrong)
}

/// The key that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}

async fn ask(entrance: &Entrance, key: &str, app: &str, peer: SocketAddr) -> Result<Grant, String> {
    let (say, hear) = oneshot::channel();
    entrance.ask(Ask::new(true, "whip", app, key, peer), move |verdict| {
        // Who has gone needs no answer.
        let _ = say.send(verdict);
    });
    match hear.await {
        Ok(Verdict::Allow(grant)) => Ok(grant),
        Ok(Verdict::Refuse { reason }) => Err(reason),
        _ => Err("nobody could decide".into()),
    }
}

/// What whoever posts to `/whip/NAME` may send: by the key that it shows, or else by the name, which may be a key.
async fn granted(
    entrance: &Entrance,
    name: Option<&str>,
    key: Option<&str>,
    peer: SocketAddr,
) -> Result<Grant, Problem> {
    let forbidden = |reason: String| Problem(StatusCode::FORBIDDEN, reason);
    match (key, name) {
        (None, None) => Err(Problem(StatusCode::UNAUTHORIZED, "say a key: Authorization: Bearer KEY".into())),
        (None, Some(name)) => {
            let asked = ask(entrance, name, "whip", peer).await;
            asked.map_err(|reason| Problem(StatusCode::UNAUTHORIZED, reason))
        }
        (Some(key), name) => {
            let grant = ask(entrance, key, "whip", peer).await.map_err(forbidden)?;
            match name {
                Some(name) if grant.stream == key && name != key => {
                    // Who lets everybody in makes no difference between a key and a name: a key isn't to be one.
                    ask(entrance, name, "whip", peer).await.map_err(forbidden)
                }
                Some(name) if grant.stream != name && name != key => {
                    Err(forbidden("this key is for another stream than the one in the address".into()))
                }
                _ => Ok(grant),
            }
        }
    }
}

fn peer(request: &Request) -> SocketAddr {
    let told = request.extensions().get::<ConnectInfo<SocketAddr>>();
    told.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |ConnectInfo(peer)| *peer)
}

async fn offer(State(door): State<Door>, name: Option<Path<String>>, request: Request) -> Response {
    let name = name.map(|Path(name)| name);
    opened(&door, name.as_deref(), request).await.unwrap_or_else(Into::into)
}

async fn opened(door: &Door, name: Option<&str>, request: Request) -> Result<Response, Problem> {
    let ready = door.ready()?;
    if !is_of(request.headers(), OFFER) {
        let detail = format!("an offer has the type {OFFER}");
        return Err(Problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let from = peer(&request);
    let key = bearer(request.headers()).map(str::to_owned);
    let grant = granted(&ready.entrance, name, key.as_deref(), from).await?;
    let offer = text(request.into_body(), MOST_OFFER).await?;
    let (say, hear) = oneshot::channel();
    ready.whip.open(offer, grant, from, move |opened| {
        let _ = say.send(opened);
    });
    let opened = hear.await.unwrap_or(Err(Trouble::Over))?;
    let mut response = (StatusCode::CREATED, opened.answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OFFER));
    let mut say = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    say(header::LOCATION, format!("/whip/session/{}", opened.session));
    say(header::ETAG, format!("\"{}\"", opened.tag));
    link(&mut response, ready);
    Ok(response)
}

async fn fragment(State(door): State<Door>, Path(id): Path<String>, request: Request) -> Response {
    patched(&door, &id, request).await.unwrap_or_else(Into::into)
}

async fn patched(door: &Door, id: &str, request: Request) -> Result<Response, Problem> {
    let ready = door.ready()?;
    if !is_of(request.headers(), FRAGMENT) {
        let detail = format!("what is added to a session has the type {FRAGMENT}");
        return Err(Problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let tag = request.headers().get(header::IF_MATCH).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = text(request.into_body(), MOST_BYTES).await?;
    let wrong = |e: sv_ingest::Error| Problem(StatusCode::UNPROCESSABLE_ENTITY, e.to_string());
    let fragment = Fragment::parse(&body).map_err(wrong)?;
    let (say, hear) = oneshot::channel();
    ready.whip.patch(id, tag, fragment, move |patched| {
        let _ = say.send(patched);
    });
    match hear.await.unwrap_or(Err(Trouble::Over))? {
        Patched::Restarted { fragment, tag } => {
            let mut response = fragment.build().into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
                headers.insert(header::ETAG, tag);
            }
            Ok(response)
        }
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn end(State(door): State<Door>, Path(id): Path<String>) -> Response {
    let ready = match door.ready() {
        Ok(ready) => ready,
        Err(problem) => return problem.into(),
    };
    let (say, hear) = oneshot::channel();
    ready.whip.close(&id, move |was| {
        let _ = say.send(was);
    });
    if hear.await == Ok(true) {
        StatusCode::OK.into_response()
    } else {
        Problem::from(Trouble::Missing).into()
    }
}
