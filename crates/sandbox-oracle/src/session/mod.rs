//! One connection, from accept to the end, on a thread of its own.
//!
//! `line` reads requests and sends answers, `connect` gets as far as ACCEPT, `login` as far as a session, `calls` serves it.

mod calls;
mod connect;
mod line;
mod login;

use std::{io, net::TcpStream, sync::Arc, time::Duration};

use rustls::ServerConfig;

use crate::{
    fault::{Effect, Point},
    log::Event,
    options::Listener,
    session::line::Line,
    wire::channel::Channel,
    world::Shared,
};

/// What a connection is served with.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listener: Listener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) renegotiate: bool,
}

/// Serves one connection and notes how it ended.
pub(crate) fn serve(service: &Service, number: u64, stream: TcpStream) {
    service.shared.lock().note(number, Event::Accepted(service.listener));
    let reason = match attempt(service, number, stream) {
        Ok(()) => "closed".to_owned(),
        Err(error) => error.to_string(),
    };
    let mut world = service.shared.lock();
    world.connections.remove(&number);
    world.sessions.remove(&number);
    world.note(number, Event::Ended(reason));
}

fn attempt(service: &Service, number: u64, stream: TcpStream) -> io::Result<()> {
    let mut drip: Option<Duration> = None;
    // Not in the condition below: the lock would be held for as long as the fault lasts.
    let fired = service.shared.lock().faults.fire(Point::Accept, None, None);
    if let Some((effect, planted)) = fired {
        service.shared.lock().note(number, Event::Fault(Point::Accept));
        match effect {
            Effect::Drip(pause) => drip = Some(pause),
            Effect::Hold => {
                if !planted.held() {
                    return Ok(());
                }
            }
            Effect::Hang | Effect::Busy => {
                Channel::open(stream, None, None)?.hang();
                return Ok(());
            }
            Effect::Drop
            | Effect::Kill
            | Effect::Late
            | Effect::Redirect { .. }
            | Effect::Refuse(_)
            | Effect::RefuseConnect(_) => {
                return Ok(());
            }
        }
    }
    let channel = Channel::open(stream, service.tls.as_ref(), drip)?;
    let mut line = Line::new(service, number, channel);
    let outcome = connect::establish(&mut line).and_then(|connected| match connected {
        None => Ok(()),
        Some(connected) => calls::serve(&mut line, &connected),
    });
    // Whatever holds the other end should see the end as an end, not wait for a reader that has gone.
    line.cut();
    match outcome {
        Err(error) if line::is_planned(&error) => Ok(()),
        other => other,
    }
}
