//! An HTTP/2 client (prior knowledge, no TLS) that decides on every frame.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Answered, End, PATIENCE, Request};
use crate::http1::Fields;

pub(super) fn send(to: SocketAddr, request: &Request) -> io::Result<Answered> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match timeout(PATIENCE, exchange(to, request)).await {
            Ok(answered) => answered,
            Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late)),
        }
    })
}

async fn exchange(to: SocketAddr, request: &Request) -> io::Result<Answered> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .max_header_list_size(1 << 20)
        // Tests send single bytes on purpose.
        .data_frame_budget(usize::MAX)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(io::Error::other)?;
    let driving = tokio::spawn(connection);
    let answered = on(client, to, request).await;
    driving.abort();
    answered
}

async fn on(client: SendRequest<Bytes>, to: SocketAddr, request: &Request) -> io::Result<Answered> {
    let mut client = client.ready().await.map_err(io::Error::other)?;
    let bodiless = request.body.is_empty() && request.pieces.is_none();
    let (response, body) = client
        .send_request(head(to, request)?, bodiless)
        .map_err(io::Error::other)?;
    if bodiless {
        return read(response).await;
    }
    // The answer may come, and the stream be reset, before the body was taken; the answer counts.
    let reading = tokio::spawn(read(response));
    let sent = send_body(body, request).await;
    let answered = reading.await.map_err(io::Error::other)?;
    answered.or_else(|error| sent.and(Err(error)))
}

fn head(to: SocketAddr, request: &Request) -> io::Result<http::Request<()>> {
    let host = if request.host.is_empty() {
        to.to_string()
    } else {
        request.host.clone()
    };
    let mut head = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://{host}{}", request.target))
        .body(())
        .map_err(io::Error::other)?;
    for (name, value) in &request.fields {
        if name == ":protocol" {
            head.extensions_mut().insert(h2::ext::Protocol::from(
                String::from_utf8_lossy(value).as_ref(),
            ));
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        let value = HeaderValue::from_bytes(value).map_err(io::Error::other)?;
        head.headers_mut().append(name, value);
    }
    if request.pieces.is_none() && !request.body.is_empty() {
        head.headers_mut()
            .insert("content-length", HeaderValue::from(request.body.len()));
    }
    Ok(head)
}

async fn send_body(mut body: SendStream<Bytes>, request: &Request) -> io::Result<()> {
    let pieces = request.cut();
    let last = pieces.len().saturating_sub(1);
    for (index, piece) in pieces.into_iter().enumerate() {
        let ends = index == last && request.end == End::Data;
        send_piece(&mut body, piece, ends).await?;
    }
    match request.end {
        End::Data if request.body.is_empty() => body.send_data(Bytes::new(), true),
        End::Data => Ok(()),
        End::Empty => body.send_data(Bytes::new(), true),
        End::Trailers => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checked", HeaderValue::from_static("yes"));
            body.send_trailers(trailers)
        }
    }
    .map_err(io::Error::other)
}

/// Sends a piece as a frame of its own, smaller ones only where the window is smaller.
async fn send_piece(body: &mut SendStream<Bytes>, piece: Vec<u8>, ends: bool) -> io::Result<()> {
    let mut rest = Bytes::from(piece);
    while !rest.is_empty() {
        body.reserve_capacity(rest.len());
        let room = poll_fn(|context| body.poll_capacity(context)).await;
        let room = room
            .ok_or(io::ErrorKind::BrokenPipe)?
            .map_err(io::Error::other)?;
        let part = rest.split_to(room.min(rest.len()));
        let ends = ends && rest.is_empty();
        body.send_data(part, ends).map_err(io::Error::other)?;
    }
    Ok(())
}

async fn read(response: ResponseFuture) -> io::Result<Answered> {
    let response = response.await.map_err(io::Error::other)?;
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    let mut complete = true;
    while let Some(piece) = stream.data().await {
        match piece {
            Ok(piece) => {
                stream
                    .flow_control()
                    .release_capacity(piece.len())
                    .map_err(io::Error::other)?;
                body.extend_from_slice(&piece);
            }
            Err(_) => {
                complete = false;
                break;
            }
        }
    }
    let trailers = if complete {
        trailers(&mut stream).await
    } else {
        Fields::default()
    };
    Ok(Answered {
        status: head.status.as_u16(),
        fields: fields(&head.headers),
        body,
        trailers,
        complete,
    })
}

async fn trailers(stream: &mut RecvStream) -> Fields {
    match stream.trailers().await {
        Ok(Some(trailers)) => fields(&trailers),
        Ok(None) | Err(_) => Fields::default(),
    }
}

fn fields(headers: &HeaderMap) -> Fields {
    Fields(
        headers
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec()))
            .collect(),
    )
}
