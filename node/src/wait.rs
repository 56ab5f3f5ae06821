//! How tasks of the asynchronous rim wait for the store: reading goes on on threads of its own, writing in the writer's queue, and no
//! worker of the runtime is held up by either. Whoever reads brings a number of places, which bounds how much is read at once.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};
use tracing::Span;

use crate::error::{Code, Error, Result, stopping};
use crate::journal::{Books, Journal};
use crate::writer::WriterThread;

/// Reads what is durable, beside whoever writes, once there is a place for it.
///
/// # Errors
/// Those of the work; the program is stopping.
pub(crate) async fn read<R: Send + 'static>(
    writer: &WriterThread,
    places: &Arc<Semaphore>,
    work: impl FnOnce(&mut Books, &Connection) -> Result<R> + Send + 'static,
) -> Result<R> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(|_| stopping())?;
    let readers = Arc::clone(writer.readers());
    let span = Span::current();
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        span.in_scope(|| readers.read(work))
    });
    let panicked = |error| Error::because(Code::Internal, "a reader panicked", error);
    done.await.map_err(panicked)?
}

/// Writes; what comes back is durable.
///
/// # Errors
/// Those of the work and of the commit; the program is stopping.
pub(crate) async fn write<R: Send + 'static>(
    writer: &WriterThread,
    work: impl Fn(&mut Journal, &Connection) -> Result<R> + Send + 'static,
) -> Result<R> {
    let (sender, receiver) = oneshot::channel();
    writer.write(work, move |result| drop(sender.send(result)));
    receiver.await.map_err(|_| stopping())?
}
