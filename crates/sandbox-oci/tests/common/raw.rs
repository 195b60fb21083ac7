//! A signed request over a plain socket, so that a test sees what the wire does: every byte, or that none came.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dizzy_sandbox_oci::{KeyFormat, OciEmulator, Principal, Service, signing_string};

/// What came back.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// A complete answer.
    Whole(u16, String),
    /// The connection ended before the answer did; so much of the body had come (`None`: not even the status).
    Cut(Option<usize>),
    /// Nobody listens.
    Refused,
    /// Nothing came for as long as this client waits.
    Silence,
}

impl Answer {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Whole(status, _) => Some(*status),
            Self::Cut(_) | Self::Refused | Self::Silence => None,
        }
    }
}

/// Sends a request, and leaves the answer to [`answer`].
pub(crate) fn send(
    emulator: &OciEmulator,
    user: &Principal,
    service: Service,
    method: &str,
    target: &str,
    body: &str,
) -> Option<TcpStream> {
    let host = emulator.endpoint(service).replace("http://", "");
    let mut headers = vec![
        (
            "date".to_owned(),
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&emulator.now()).unwrap(),
        ),
        ("host".to_owned(), host.clone()),
    ];
    let mut covered = vec!["date", "(request-target)", "host"];
    if method != "GET" {
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
        headers.push(("content-length".to_owned(), body.len().to_string()));
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        headers.push(("x-content-sha256".to_owned(), hash));
        covered.extend(["content-length", "content-type", "x-content-sha256"]);
    }
    let covered: Vec<String> = covered.into_iter().map(str::to_owned).collect();
    let text = signing_string(&covered, method, target, &headers).unwrap();
    let authorization = format!(
        "Signature version=\"1\",keyId=\"{}\",algorithm=\"rsa-sha256\",headers=\"{}\",signature=\"{}\"",
        user.key_id(),
        covered.join(" "),
        sign(user, &text)
    );
    headers.push(("authorization".to_owned(), authorization));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n{body}");
    let mut stream = TcpStream::connect(host).ok()?;
    stream.write_all(request.as_bytes()).unwrap();
    Some(stream)
}

/// Waits for the whole answer, or for as long as `patience` where silence is what is expected.
pub(crate) fn answer(stream: Option<TcpStream>, patience: Duration) -> Answer {
    let Some(mut stream) = stream else { return Answer::Refused };
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Answer::Silence,
        // A connection that is cut may end with a reset instead of an end.
        Err(_) => {}
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Answer::Cut(None) };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    if body.chars().count() < length.parse().unwrap() {
        return Answer::Cut(Some(body.chars().count()));
    }
    Answer::Whole(status, body.to_owned())
}

fn sign(user: &Principal, text: &str) -> String {
    let pem = user.private_key_pem(KeyFormat::Pkcs8).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    STANDARD.encode(signature)
}
