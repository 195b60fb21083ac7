//! How a client proves that it knows a password (Oracle's 12c verifier), and how passwords travel afterwards.
//!
//! All ciphers are AES-256 in CBC mode with an initial vector of zeros, all keys and texts travel as upper-case
//! hexadecimal. The scheme is that of python-oracledb 26.1 and of crate oracledb 26.0.0-beta.5; both log in.

use aes::{
    Aes256,
    cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _, block_padding::NoPadding},
};
use sha2::{Digest as _, Sha512};

/// Rounds of the password key. Part of the protocol's answer; both clients take what the server says.
pub(crate) const PASSWORD_ROUNDS: u32 = 4096;
/// Rounds of the session key.
pub(crate) const SESSION_ROUNDS: u32 = 3;
/// Marks the salt as that of a 12c verifier.
pub(crate) const VERIFIER_12C: u64 = 0x4815;

const BLOCK: usize = 16;
type Key = [u8; 32];

/// What a server keeps of a password, besides the salt: enough to check a proof.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    hash: Key,
}

impl Verifier {
    pub(crate) fn new(password: &str, salt: &[u8; 16]) -> Self {
        let mut long_salt = salt.to_vec();
        long_salt.extend(b"AUTH_PBKDF2_SPEEDY_KEY");
        let mut key = [0; 64];
        pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), &long_salt, PASSWORD_ROUNDS, &mut key);
        let digest = Sha512::new().chain_update(key).chain_update(salt).finalize();
        let mut hash = [0; 32];
        hash.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { hash }
    }

    /// A verifier that no password fits, for users who do not exist.
    pub(crate) fn of_nobody() -> Self {
        Self { hash: random() }
    }

    /// The server's half of the session key, as it is sent.
    pub(crate) fn seal(&self, half: &Key) -> Vec<u8> {
        encrypt(&self.hash, half)
    }

    /// The key of the session if the client knows the password behind this verifier; otherwise a key that opens nothing.
    pub(crate) fn session_key(&self, sent: &[u8], clients: &[u8], salt: &[u8; 16]) -> Option<SessionKey> {
        let ours = decrypt(&self.hash, sent)?;
        let theirs = decrypt(&self.hash, clients.get(..32)?)?;
        let joined = [theirs, ours].concat();
        let mut key = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha512>(hex(&joined).as_bytes(), salt, SESSION_ROUNDS, &mut key);
        Some(SessionKey { key })
    }
}

/// The key that passwords travel under, for the length of a session.
#[derive(Clone, Debug)]
pub(crate) struct SessionKey {
    key: Key,
}

impl SessionKey {
    /// Opens what a client sent under a name like `AUTH_PASSWORD`; `None` if it was sealed with another key.
    pub(crate) fn open(&self, sealed: &str) -> Option<String> {
        let mut text = decrypt(&self.key, &unhex(sealed)?)?.split_off_checked(BLOCK)?;
        let padding = usize::from(*text.last()?);
        let length = text.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding))?;
        let tail = text.split_off(length);
        if tail.iter().any(|byte| usize::from(*byte) != padding) {
            return None;
        }
        String::from_utf8(text).ok()
    }

    /// The server's own proof, which python-oracledb demands.
    pub(crate) fn response(&self) -> String {
        let salt: [u8; BLOCK] = random();
        hex(&encrypt(&self.key, &[&salt[..], b"SERVER_TO_CLIENT", &[16; BLOCK]].concat()))
    }
}

trait SplitOffChecked: Sized {
    fn split_off_checked(self, at: usize) -> Option<Self>;
}

impl SplitOffChecked for Vec<u8> {
    fn split_off_checked(mut self, at: usize) -> Option<Self> {
        (at <= self.len()).then(|| self.split_off(at))
    }
}

/// Random bytes.
///
/// # Panics
/// If the system has no randomness, and then nothing works.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// Upper-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Bytes from hexadecimal.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect::<Option<_>>()?;
    rest.is_empty().then_some(bytes)
}

/// A stable salt for a name that is nobody's, so that the answer does not tell.
pub(crate) fn made_up_salt(name: &str, secret: &[u8; 16]) -> [u8; 16] {
    let digest = Sha512::new().chain_update(secret).chain_update(name).finalize();
    let mut salt = [0; 16];
    salt.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    salt
}

/// Encrypts whole blocks.
fn encrypt(key: &Key, text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let length = bytes.len();
    let cipher = cbc::Encryptor::<Aes256>::new(key.into(), &[0; BLOCK].into());
    cipher.encrypt_padded::<NoPadding>(&mut bytes, length).map(<[u8]>::to_vec).unwrap_or_default()
}

/// Decrypts; `None` unless these are whole blocks.
fn decrypt(key: &Key, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let cipher = cbc::Decryptor::<Aes256>::new(key.into(), &[0; BLOCK].into());
    cipher.decrypt_padded::<NoPadding>(&mut bytes).map(<[u8]>::to_vec).ok()
}
