//! What happens, as it happens, over a WebSocket.

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use tokio::sync::broadcast::error::RecvError;

use crate::app::Shared;
use crate::events::Event;

/// Tells what happens: one JSON text message for each [`Event`].
///
/// A listener that can't keep up is closed with code 1013: it reads the library again and comes back.
#[utoipa::path(get, path = "/v1/events", tag = "events", operation_id = "listenToEvents",
    responses((status = 101, description = "A WebSocket; each message is an `Event`", body = Event)))]
pub(super) async fn events(State(app): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    // Clients have nothing to say here, so they may not say much.
    upgrade.max_message_size(4096).on_upgrade(move |socket| tell(app, socket))
}

async fn tell(app: Shared, mut socket: WebSocket) {
    let mut events = app.bus.listen();
    loop {
        tokio::select! {
            event = events.recv() => {
                let message = match event.as_ref().map(serde_json::to_string) {
                    Ok(Ok(text)) => Message::Text(text.into()),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "an event has no JSON");
                        continue;
                    }
                    Err(RecvError::Lagged(_)) => {
                        let reason = "too slow; read the library again".into();
                        let _ = socket.send(Message::Close(Some(CloseFrame { code: close_code::AGAIN, reason }))).await;
                        return;
                    }
                    Err(RecvError::Closed) => return,
                };
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            message = socket.recv() => match message {
                // Pings are answered below us.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Binary(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}
