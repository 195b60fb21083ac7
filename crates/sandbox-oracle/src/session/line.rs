//! The line to a client: requests in, answers out, and the faults that happen on it.

use std::{io, sync::MutexGuard};

use crate::{
    fault::{Effect, Planted, Point},
    log::Event,
    refusal::Refusal,
    session::Service,
    wire::{
        channel::Channel,
        packet::{self, Lengths, Packet, bad},
        reader::Reader,
        replies::Reply,
        requests::{self, Request},
        values::BindType,
    },
    world::World,
};

/// A refusal goes out as an answer; everything else ends the connection.
#[derive(Debug)]
pub(crate) enum Upset {
    Refused(Refusal),
    Over(io::Error),
}

impl From<Refusal> for Upset {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Upset {
    fn from(error: io::Error) -> Self {
        Self::Over(error)
    }
}

/// What a client sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    Request(Request),
    /// The client broke off what it had asked for.
    Break,
    /// The client has gone.
    Gone,
}

/// The line to a client.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) service: &'a Service,
    pub(crate) number: u64,
    channel: Option<Channel>,
    pub(crate) lengths: Lengths,
    /// The session's field version.
    pub(crate) version: u8,
    /// Whether answers end with a mark.
    pub(crate) end_marks: bool,
}

/// The message of an error that is a fault's doing.
const PLANNED: &str = "a planted fault";

pub(crate) fn is_planned(error: &io::Error) -> bool {
    error.to_string() == PLANNED
}

fn planned() -> io::Error {
    io::Error::other(PLANNED)
}

impl<'a> Line<'a> {
    pub(crate) const fn new(service: &'a Service, number: u64, channel: Channel) -> Self {
        Self { service, number, channel: Some(channel), lengths: Lengths::Short, version: 0, end_marks: false }
    }

    pub(crate) fn world(&self) -> MutexGuard<'a, World> {
        self.service.shared.lock()
    }

    pub(crate) fn channel(&mut self) -> io::Result<&mut Channel> {
        self.channel.as_mut().ok_or_else(planned)
    }

    pub(crate) fn packet(&mut self) -> io::Result<Option<Packet>> {
        let lengths = self.lengths;
        packet::read(self.channel()?, lengths)
    }

    pub(crate) fn send_packet(&mut self, kind: u8, flags: u8, body: &[u8]) -> io::Result<()> {
        let lengths = self.lengths;
        packet::write(self.channel()?, lengths, kind, flags, body)
    }

    /// Starts TLS again on the same connection.
    pub(crate) fn tls_again(&mut self) -> io::Result<()> {
        if let (Some(channel), Some(config)) = (self.channel.take(), &self.service.tls) {
            self.channel = Some(channel.tls_again(config)?);
        }
        Ok(())
    }

    pub(crate) fn cut(&self) {
        if let Some(channel) = &self.channel {
            channel.cut();
        }
    }

    /// Reads a request, over as many packets as it takes.
    pub(crate) fn request(&mut self, known: &dyn Fn(u64) -> Vec<BindType>) -> io::Result<Incoming> {
        let mut bytes = Vec::new();
        loop {
            let Some(packet) = self.packet()? else { return Ok(Incoming::Gone) };
            match packet.kind {
                packet::DATA => {}
                packet::MARKER => {
                    self.reset(packet)?;
                    return Ok(Incoming::Break);
                }
                other => return Err(bad(format!("a packet of kind {other} where a request was due"))),
            }
            let mut reader = Reader::new(&packet.body);
            let flags = reader.u16().map_err(|_| bad("a data packet without flags"))?;
            if flags & packet::END_OF_FILE != 0 {
                return Ok(Incoming::Gone);
            }
            bytes.extend(packet.body.iter().skip(2));
            if let Ok(request) = requests::read(&bytes, self.version, known) {
                return Ok(Incoming::Request(request));
            }
        }
    }

    /// Sends an answer, in packets of the session's size.
    pub(crate) fn send(&mut self, reply: Reply) -> io::Result<()> {
        let bytes = reply.finish(self.end_marks);
        let mut chunks = bytes.chunks(packet::SESSION_DATA_UNIT - 10).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            let flags = if last && self.end_marks { packet::END_OF_RESPONSE } else { 0 };
            self.send_packet(packet::DATA, 0, &[&flags.to_be_bytes(), chunk].concat())?;
        }
        Ok(())
    }

    pub(crate) fn reply(&self) -> Reply {
        Reply::new(self.version)
    }

    /// Sends a refusal, after a break and a reset if that is how this server does it.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) -> io::Result<()> {
        if self.service.shared.error_markers {
            self.send_marker(packet::MARKER_BREAK)?;
            self.send_marker(packet::MARKER_RESET)?;
            self.await_reset()?;
        }
        self.send(self.reply().refusal(refusal))
    }

    /// Looks whether a fault is planted here, and lets it happen.
    pub(crate) fn fault(&mut self, point: Point, user: Option<&str>, statement: Option<&str>) -> Result<(), Upset> {
        match self.fire(point, user, statement) {
            None => Ok(()),
            Some((effect, planted)) => self.suffer(&effect, &planted),
        }
    }

    pub(crate) fn fire(&self, point: Point, user: Option<&str>, statement: Option<&str>) -> Option<(Effect, Planted)> {
        let mut world = self.world();
        let fired = world.faults.fire(point, user, statement);
        if fired.is_some() {
            world.note(self.number, Event::Fault(point));
        }
        fired
    }

    /// Lets an effect happen.
    pub(crate) fn suffer(&mut self, effect: &Effect, planted: &Planted) -> Result<(), Upset> {
        match effect {
            Effect::Busy => {
                let interrupt = self.packet()?.filter(|packet| packet.kind == packet::MARKER);
                let interrupt = interrupt.ok_or_else(planned)?;
                self.reset(interrupt)?;
                Err(Refusal::ora(1013).into())
            }
            Effect::Drop | Effect::Drip(_) | Effect::Redirect { .. } | Effect::RefuseConnect(_) => {
                Err(planned().into())
            }
            Effect::Hang => {
                if let Some(channel) = self.channel.take() {
                    channel.hang();
                }
                Err(planned().into())
            }
            Effect::Hold => {
                if planted.held() {
                    Ok(())
                } else {
                    Err(planned().into())
                }
            }
            Effect::Kill => {
                self.refuse(&Refusal::ora(28))?;
                Err(planned().into())
            }
            Effect::Late => {
                self.cut();
                if planted.held() { Ok(()) } else { Err(planned().into()) }
            }
            Effect::Refuse(code) => Err(Refusal::ora(*code).into()),
        }
    }

    /// Answers a client's break, which begins with `first` and ends with its reset.
    fn reset(&mut self, first: Packet) -> io::Result<()> {
        if first.body.last() != Some(&packet::MARKER_RESET) {
            self.send_marker(packet::MARKER_BREAK)?;
            self.await_reset()?;
        }
        self.send_marker(packet::MARKER_RESET)
    }

    fn await_reset(&mut self) -> io::Result<()> {
        loop {
            let packet = self.packet()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if packet.kind == packet::MARKER && packet.body.last() == Some(&packet::MARKER_RESET) {
                return Ok(());
            }
        }
    }

    fn send_marker(&mut self, marker: u8) -> io::Result<()> {
        self.send_packet(packet::MARKER, 0, &[1, 0, marker])
    }
}
