//! As much HTTP/1.1 as the two platforms speak: messages with a length or in chunks, on connections that stay open.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context as _, Result, bail};

/// The longest message of a test.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A request or a response: its first line, its headers in lower case, its body.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) first: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Reads one; `None` if the other side closed the connection before it began.
    pub(super) fn read(from: &mut BufReader<impl Read>) -> Result<Option<Self>> {
        let first = line(from)?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let header = line(from)?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').context("a header without a colon")?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut message = Self { first, headers, body: Vec::new() };
        if message.header("transfer-encoding").is_some_and(|value| value == "chunked") {
            loop {
                let size = usize::from_str_radix(&line(from)?, 16).context("the size of a chunk")?;
                let start = message.body.len();
                if start + size > MAX_BODY {
                    bail!("the message is too long");
                }
                message.body.resize(start + size, 0);
                from.read_exact(message.body.get_mut(start..).unwrap_or_default())?;
                line(from)?;
                if size == 0 {
                    return Ok(Some(message));
                }
            }
        }
        let length: usize = message.header("content-length").map_or(Ok(0), str::parse).context("the length")?;
        if length > MAX_BODY {
            bail!("the message is too long");
        }
        message.body.resize(length, 0);
        from.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Writes a message in one piece: in two, the second would wait for the other side's acknowledgement.
    pub(super) fn write(to: &mut impl Write, first: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
        let mut bytes = format!("{first}\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        to.write_all(&bytes)?;
        to.flush()?;
        Ok(())
    }
}

/// A line without its end; empty at the end of the stream as well.
fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
