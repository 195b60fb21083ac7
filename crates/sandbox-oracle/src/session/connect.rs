//! From the first byte to ACCEPT: the listener's part.

use std::io;

use crate::{
    fault::{Effect, Point},
    log::Event,
    session::line::{Line, Upset},
    wire::{
        packet::{self, Lengths, bad},
        writer::Writer,
    },
};

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) service: String,
}

/// The service does not exist.
const UNKNOWN_SERVICE: u32 = 12514;
/// CONNECT and RESEND may go back and forth so often.
const MOST_ROUNDS: u32 = 4;
/// Connect data longer than this comes in a packet of its own.
const LONGEST_INLINE: usize = 230;

/// Gets as far as ACCEPT; `None` if the client was sent away or has gone.
pub(crate) fn establish(line: &mut Line<'_>) -> io::Result<Option<Connected>> {
    let mut again = line.service.renegotiate && line.service.tls.is_some();
    for _ in 0..MOST_ROUNDS {
        let Some(data) = connect_data(line)? else { return Ok(None) };
        if again {
            again = false;
            line.send_packet(packet::RESEND, packet::TLS_AGAIN, &[])?;
            line.tls_again()?;
            continue;
        }
        line.world().note(line.number, Event::Connect(data.clone()));
        return answer(line, &data);
    }
    Err(bad("CONNECT again and again"))
}

fn answer(line: &mut Line<'_>, data: &str) -> io::Result<Option<Connected>> {
    if let Some((effect, planted)) = line.fire(Point::Connect, None, None) {
        match &effect {
            Effect::RefuseConnect(code) | Effect::Refuse(code) => return refuse(line, *code),
            Effect::Redirect { address, protocol, service } => {
                let (host, port) = (address.ip(), address.port());
                let target = format!("(ADDRESS=(PROTOCOL={protocol})(HOST={host})(PORT={port}))");
                let target = format!("{target}\0(DESCRIPTION={target}(CONNECT_DATA=(SERVICE_NAME={service})))");
                return redirect(line, &target);
            }
            Effect::Busy
            | Effect::Drip(_)
            | Effect::Drop
            | Effect::Hang
            | Effect::Hold
            | Effect::Kill
            | Effect::Late => match line.suffer(&effect, &planted) {
                Ok(()) => {}
                Err(Upset::Over(error)) => return Err(error),
                Err(Upset::Refused(refusal)) => return refuse(line, refusal.code),
            },
        }
    }
    let service = value_of(data, "SERVICE_NAME").unwrap_or_default();
    if !line.world().services.iter().any(|known| known.eq_ignore_ascii_case(&service)) {
        return refuse(line, UNKNOWN_SERVICE);
    }
    accept(line)?;
    Ok(Some(Connected { service }))
}

/// Reads CONNECT with its data; `None` if the client has gone.
fn connect_data(line: &mut Line<'_>) -> io::Result<Option<String>> {
    let Some(packet) = line.packet()? else { return Ok(None) };
    if packet.kind != packet::CONNECT {
        return Err(bad(format!("a packet of kind {} where CONNECT was due", packet.kind)));
    }
    let field = |at: usize| match packet.body.get(at..at + 2) {
        Some(&[a, b]) => Ok(usize::from(u16::from_be_bytes([a, b]))),
        _ => Err(bad("a short CONNECT")),
    };
    let (length, offset) = (field(16)?, field(18)?);
    let data = if length > LONGEST_INLINE {
        let Some(further) = line.packet()? else { return Ok(None) };
        further.body.get(2..).map(<[u8]>::to_vec)
    } else {
        // The offset counts from the start of the packet, header included.
        let start = offset.saturating_sub(8);
        packet.body.get(start..start + length).map(<[u8]>::to_vec)
    };
    let data = data.ok_or_else(|| bad("connect data that is not there"))?;
    Ok(Some(String::from_utf8_lossy(&data).into_owned()))
}

fn accept(line: &mut Line<'_>) -> io::Result<()> {
    let mode = line.world().mode;
    let unit = u32::try_from(packet::SESSION_DATA_UNIT).unwrap_or(u32::MAX);
    let mut body = Writer::default();
    body.u16(mode.protocol_version()).u16(0).zeros(10).u8(0).zeros(9).u32(unit).zeros(5).u32(mode.accept_flags());
    line.send_packet(packet::ACCEPT, 0, &body.into_bytes())?;
    line.lengths = Lengths::Wide;
    line.version = mode.field_version();
    line.end_marks = mode.end_of_response();
    Ok(())
}

fn refuse(line: &mut Line<'_>, code: u32) -> io::Result<Option<Connected>> {
    line.world().note(line.number, Event::ConnectRefused(code));
    let text = format!("(DESCRIPTION=(TMP=)(VSNNUM=319815680)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))");
    let mut body = Writer::default();
    body.u8(34).u8(0).u16(u16::try_from(text.len()).unwrap_or(0)).raw(text.as_bytes());
    line.send_packet(packet::REFUSE, 0, &body.into_bytes())?;
    Ok(None)
}

/// The length alone in REDIRECT, the target in a packet that follows.
fn redirect(line: &mut Line<'_>, target: &str) -> io::Result<Option<Connected>> {
    let length = u16::try_from(target.len()).unwrap_or(0);
    line.send_packet(packet::REDIRECT, 0, &length.to_be_bytes())?;
    line.send_packet(packet::DATA, 0, &[&[0, 0], target.as_bytes()].concat())?;
    Ok(None)
}

/// The value of a key in connect data: `(KEY=value)`.
pub(crate) fn value_of(data: &str, key: &str) -> Option<String> {
    data.split('(').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.split(')').next()?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim().to_owned())
    })
}
