//! Errors as clients see them: [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use streamverse::core::ErrorKind;
use utoipa::ToSchema;

/// What went wrong, for people and for programs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the code says what a type would.
    #[serde(rename = "type")]
    problem_type: &'static str,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "status_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// One sentence about this very case.
    detail: String,
    /// The kind of problem; it does not change from version to version.
    code: &'static str,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u16(status.as_u16())
}

pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { problem_type: "about:blank", title, status, detail: detail.into(), code }
    }

    /// The same in other words.
    pub(crate) fn reworded(self, word: impl FnOnce(&str) -> String) -> Self {
        Self { detail: word(&self.detail), ..self }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_input", detail)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// Something of ours went wrong. The log has the details; the client need not.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        let detail = "the service could not do this; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Storing failed: a full disk is the client's concern too, anything else is not.
    pub(crate) fn storage(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::StorageFull | Io::QuotaExceeded => {
                tracing::error!(%error, "the disk is full");
                let detail = "the disk of the service is full; what was stored so far is kept";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", detail)
            }
            _ => Self::internal(error),
        }
    }
}

impl From<streamverse::Error> for Problem {
    fn from(error: streamverse::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::Malformed => StatusCode::BAD_REQUEST,
            ErrorKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorKind::LimitExceeded => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::AlreadyExists => StatusCode::CONFLICT,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
            ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Timeout | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => return Self::internal(error),
        };
        Self::new(status, error.kind().as_str(), error.to_string())
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::storage(&std::io::ErrorKind::StorageFull.into()),
            _ => Self::internal(error),
        }
    }
}

impl From<streamverse::pipeline::queue::Error> for Problem {
    fn from(error: streamverse::pipeline::queue::Error) -> Self {
        Self::internal(error)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::storage(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        (self.status, kind, Json(self)).into_response()
    }
}
