//! A name server for tests: it knows some names, all of them this machine, and answers NXDOMAIN to every other.
//!
//! Resolvers ask port 53 and no other, so starting it takes the right to that port. It listens on an address of the loopback network that
//! nobody else has, beside the machine's own resolver.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// Longest question that is read; resolvers send less than this without EDNS.
const MAX_QUESTION: usize = 512;
/// Bytes before the question: id, flags, four counts.
const HEADER: usize = 12;
/// How often the server looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// A running name server. Dropping it ends it.
#[derive(Debug)]
pub struct NameServer {
    address: Ipv4Addr,
    asked: Arc<Mutex<Vec<String>>>,
    alive: Arc<()>,
}

impl NameServer {
    /// Starts one that knows these names.
    ///
    /// # Errors
    /// If port 53 cannot be had.
    pub fn start(names: &[&str]) -> Result<Self> {
        let (address, socket) = bind()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let known: Vec<String> = names.iter().map(ToString::to_string).collect();
        let (asked, alive) = (Arc::new(Mutex::new(Vec::new())), Arc::new(()));
        let (questions, owner) = (Arc::clone(&asked), Arc::downgrade(&alive));
        thread::spawn(move || {
            let mut room = [0; MAX_QUESTION];
            while owner.strong_count() > 0 {
                let Ok((length, from)) = socket.recv_from(&mut room) else { continue };
                let Some((name, answer)) = answer(room.get(..length).unwrap_or_default(), &known) else { continue };
                questions.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                // Whoever asked may be gone.
                socket.send_to(&answer, from).ok();
            }
        });
        Ok(Self { address, asked, alive })
    }

    /// Where it listens, on port 53.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Every name that it was asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        debug_assert!(Arc::strong_count(&self.alive) > 0);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn bind() -> Result<(Ipv4Addr, UdpSocket)> {
    for last in 1..=254 {
        let address = Ipv4Addr::new(127, 53, 0, last);
        match UdpSocket::bind((address, 53)) {
            Ok(socket) => return Ok((address, socket)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(error).context(
                    "a name server takes port 53: run as root, or as root: sysctl net.ipv4.ip_unprivileged_port_start=53",
                );
            }
        }
    }
    bail!("somebody has port 53 on every address from 127.53.0.1 to 127.53.0.254")
}

/// The name that is asked for, and the answer: an address for a known name's A, nothing for its other types, no such name otherwise.
fn answer(question: &[u8], known: &[String]) -> Option<(String, Vec<u8>)> {
    let (mut name, mut at) = (String::new(), HEADER);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = question.get(at..at + length)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let kind = question.get(at..at + 2)?;
    let asked = question.get(HEADER..at + 4)?;
    let (is_known, wants_address) = (known.contains(&name), kind == [0, 1]);
    let mut answer = question.get(..2)?.to_vec();
    // A response with recursion available; 3 is "no such name".
    answer.extend([0x81, if is_known { 0x80 } else { 0x83 }]);
    answer.extend([0, 1, 0, u8::from(is_known && wants_address), 0, 0, 0, 0]);
    answer.extend(asked);
    if is_known && wants_address {
        // The name as in the question, type A, class IN, one second, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(Ipv4Addr::LOCALHOST.octets());
    }
    Some((name, answer))
}
