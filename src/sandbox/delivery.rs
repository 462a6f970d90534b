//! How a reply goes over the wire, where a server does not simply send it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, extract::connect_info::Connected, serve::IncomingStream};
use bytes::{Buf, Bytes};
use futures_util::stream;
use http::Response;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::sandbox::server::Listener;

/// The size of the pieces of an endless body, in bytes.
const PIECE: usize = 64 * 1024;

/// What a behaviour leaves in the extensions of a reply.
#[derive(Clone, Debug)]
pub(super) enum Delivery {
    /// These bytes are sent instead of the reply, and the connection is closed.
    Raw(Bytes),
    /// The body is sent byte by byte, with this pause after each.
    Drip(Duration),
    /// The body is sent again and again, without an end.
    Endless,
}

/// Makes a reply go over the wire in another way.
pub(super) fn deliver(mut reply: Response<Bytes>, delivery: Delivery) -> Response<Bytes> {
    reply.extensions_mut().insert(delivery);
    reply
}

impl Delivery {
    /// The body to send. `raw` is the slot of the connection.
    pub(super) fn body(self, body: Bytes, raw: &RawReply) -> Body {
        match self {
            Self::Raw(bytes) => {
                *raw.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
                Body::empty()
            }
            Self::Drip(pause) => {
                Body::from_stream(stream::unfold(body, move |mut rest| async move {
                    let next = rest.has_remaining().then(|| rest.split_to(1))?;
                    sleep(pause).await;
                    Some((Ok::<_, io::Error>(next), rest))
                }))
            }
            Self::Endless => {
                let piece: Bytes = body.iter().copied().cycle().take(PIECE).collect();
                Body::from_stream(stream::repeat_with(move || Ok::<_, io::Error>(piece.clone())))
            }
        }
    }
}

/// The bytes that a connection sends instead of its next reply.
#[derive(Clone, Debug, Default)]
pub(super) struct RawReply(Arc<Mutex<Option<Bytes>>>);

impl Connected<IncomingStream<'_, Listener>> for RawReply {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A connection whose reads and writes fail once it is aborted, or once raw bytes were sent.
pub(super) struct Connection {
    stream: TcpStream,
    abort: Pin<Box<WaitForCancellationFutureOwned>>,
    raw: RawReply,
    /// The raw bytes that are still to be sent. `None` if there are none.
    sending: Option<Bytes>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        abort: WaitForCancellationFutureOwned,
        raw: RawReply,
    ) -> Self {
        Self { stream, abort: Box::pin(abort), raw, sending: None }
    }

    fn unless_aborted<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll_stream: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.abort.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        poll_stream(Pin::new(&mut self.stream), cx)
    }

    /// Sends raw bytes, if there are any, and then fails.
    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let raw = self.raw.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if raw.is_some() {
            self.sending = raw;
        }
        while let Some(rest) = &mut self.sending {
            if rest.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            rest.advance(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.unless_aborted(cx, |stream, cx| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_raw(cx))?;
        self.unless_aborted(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_aborted(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_aborted(cx, |stream, cx| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_raw(cx))?;
        self.unless_aborted(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
