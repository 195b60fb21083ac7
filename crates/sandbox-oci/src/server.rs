//! HTTP on loopback: one listener per service, each with a door that can be shut, and the faults that happen on the wire.

use core::{
    fmt,
    future::pending,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc as std_mpsc},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Response,
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::Sleep,
};

use crate::{
    clock::http_date,
    dispatch::Shared,
    faults::{Mishap, held},
    http::{Refused, Reply, Request},
    keys::{hex, random},
    route::{Service, route},
};

/// Whether a service can be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// It answers.
    Open,
    /// Connections are refused.
    Refusing,
    /// Connections are accepted, and nothing ever comes back.
    Silent,
}

/// A request to change a door, and where to say that it is done.
pub(crate) type Order = (Door, std_mpsc::Sender<io::Result<()>>);

/// Larger than anything that is uploaded in one piece here.
const LARGEST_BODY: usize = 64 << 20;

/// Answers on a listener, until the orders end.
pub(crate) async fn keep(
    service: Service,
    listener: TcpListener,
    shared: Arc<Shared>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let Ok(address) = listener.local_addr() else { return };
    let mut entrance = Entrance::Listening(listener);
    let mut door = Door::Open;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((wanted, done)) = order else { return };
                connections.shutdown().await;
                door = wanted;
                let (turned, outcome) = entrance.turn(address, wanted);
                entrance = turned;
                // Nobody waits any more if the emulator is being dropped.
                done.send(outcome).ok();
            }
            stream = entrance.accept() => match door {
                Door::Open => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move { converse(service, stream, shared).await });
                }
                Door::Silent | Door::Refusing => {
                    connections.spawn(async move {
                        pending::<()>().await;
                        drop(stream);
                    });
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The port: listened on, or held without listening, which refuses connections and keeps others from taking it.
enum Entrance {
    Listening(TcpListener),
    Held(TcpSocket),
    Lost,
}

impl Entrance {
    fn turn(self, address: SocketAddr, door: Door) -> (Self, io::Result<()>) {
        let turned = match (self, door) {
            (Self::Listening(listener), Door::Refusing) => {
                drop(listener);
                hold(address).map(Self::Held)
            }
            (Self::Held(socket), Door::Open | Door::Silent) => socket.listen(BACKLOG).map(Self::Listening),
            (same, Door::Open | Door::Silent | Door::Refusing) => Ok(same),
        };
        turned.map_or_else(|error| (Self::Lost, Err(error)), |turned| (turned, Ok(())))
    }

    async fn accept(&self) -> TcpStream {
        if let Self::Listening(listener) = self {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    return stream;
                }
            }
        }
        pending().await
    }
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Binds a free port of the loopback address.
pub(crate) fn bind(port: u16) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn converse(service: Service, stream: TcpStream, shared: Arc<Shared>) {
    let answer = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(service, request, &shared).await }
    });
    // An error means that the client left or that a fault cut the connection: both are what was wanted.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
}

/// One request, with the mishap that waits for it.
async fn answer(
    service: Service,
    request: hyper::Request<Incoming>,
    shared: &Arc<Shared>,
) -> Result<Response<Played>, Cut> {
    let request = read(request).await?;
    let now = held(&shared.world).clock.now();
    let target = route(service, &request);
    let target = target.as_ref();
    let mishap = target.and_then(|target| held(&shared.faults).strike(target.operation, target.subject()));
    let Some((mishap, handle)) = mishap else {
        return play(&request, shared.execute(service, target, &request, None), Tune::Whole, now);
    };
    let name = mishap.name();
    let lost = |reply: Option<&Reply>| {
        shared.lost(service, target, &request, name, reply);
        handle.fire();
    };
    let execute = || {
        let reply = shared.execute(service, target, &request, Some(name));
        handle.fire();
        reply
    };
    match mishap {
        Mishap::Refuse(status, code) => {
            let reply = Refused::new(status, code, "an injected fault").reply();
            lost(Some(&reply));
            play(&request, reply, Tune::Whole, now)
        }
        Mishap::Throttle => {
            let reply = Refused::new(429, "TooManyRequests", "an injected fault").reply();
            lost(Some(&reply));
            play(&request, reply, Tune::Whole, now)
        }
        Mishap::DropBefore => {
            lost(None);
            Err(Cut)
        }
        Mishap::DropAfter => {
            execute();
            Err(Cut)
        }
        Mishap::Hang => {
            lost(None);
            pending().await
        }
        Mishap::HangAfter => {
            execute();
            pending().await
        }
        Mishap::Late => {
            held(&shared.late).push((service, target.cloned(), request.clone()));
            lost(None);
            pending().await
        }
        Mishap::Truncate => play(&request, execute(), Tune::Half, now),
        Mishap::Garbage => {
            let mut reply = execute();
            reply.body.fill(b'\x9c');
            play(&request, reply, Tune::Whole, now)
        }
        Mishap::Hollow => {
            execute();
            play(&request, Reply::json(200, &serde_json::json!({})), Tune::Whole, now)
        }
        Mishap::Drip(pause) => play(&request, execute(), Tune::Slow(pause), now),
    }
}

async fn read(request: hyper::Request<Incoming>) -> Result<Request, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(|_| Cut)?.to_bytes().to_vec();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Request {
        method: head.method.as_str().to_owned(),
        target: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body,
    })
}

/// How an answer goes over the wire.
#[derive(Clone, Copy, Debug)]
enum Tune {
    Whole,
    Half,
    Slow(Duration),
}

fn play(request: &Request, reply: Reply, tune: Tune, now: Timestamp) -> Result<Response<Played>, Cut> {
    // The cloud's clock, not the machine's: clients read their own skew from it.
    let mut response = Response::builder().status(reply.status).header("date", http_date(now));
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let own = hex(&random::<8>().map_err(|_| Cut)?).to_uppercase();
    let theirs = ["opc-request-id", "opc-client-request-id"].into_iter().find_map(|name| request.header(name));
    response =
        response.header("opc-request-id", theirs.map_or_else(|| own.clone(), |theirs| format!("{theirs}/{own}")));
    if !matches!(reply.status, 204 | 304) && !reply.headers.iter().any(|(name, _)| name == "content-length") {
        response = response.header("content-length", reply.body.len());
    }
    let bytes = if request.method == "HEAD" { Bytes::new() } else { Bytes::from(reply.body) };
    let (chunks, pause, broken) = match tune {
        Tune::Whole => (VecDeque::from([bytes]), None, false),
        Tune::Half => (VecDeque::from([bytes.slice(..bytes.len() / 2)]), None, true),
        Tune::Slow(pause) => ((0..bytes.len()).map(|at| bytes.slice(at..=at)).collect(), Some(pause), false),
    };
    let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
    response.body(Played { chunks, pause, broken, flushed: false, waiting: None }).map_err(|_| Cut)
}

/// The body of an answer: its chunks, the pause before each, and whether it breaks off after the last.
struct Played {
    chunks: VecDeque<Bytes>,
    pause: Option<Duration>,
    broken: bool,
    /// Whether what came before the break has been left to the connection to send.
    flushed: bool,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Played {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(pause) = self.pause
            && !self.chunks.is_empty()
        {
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if waiting.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.waiting = None;
        }
        if let Some(chunk) = self.chunks.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if !self.broken {
            return Poll::Ready(None);
        }
        // An error drops what is buffered; one turn without news makes the connection send it first.
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Cut)))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty() && !self.broken
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The connection ends here.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("cut")
    }
}

impl core::error::Error for Cut {}
