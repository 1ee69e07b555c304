//! Serves a router until it is told to stop, then lets requests in hand finish.

use anyhow::Context;
use axum::Router;
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long open connections may keep a stop waiting.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// Binds, with the address in the error.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))
}

/// Serves until `stop` is cancelled and open requests are answered, or 5 s have passed since.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    info!("Listening on {}", listener.local_addr()?);
    // Handlers may ask where a request came from.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let graceful =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        served = graceful.into_future() => served.context("serving HTTP"),
        () = late => {
            warn!("Connections are still open {} s after the stop: leaving them", DRAIN_WITHIN.as_secs());
            Ok(())
        }
    }
}
