//! SCRAM-SHA-256 verifiers, as PostgreSQL stores them: what the server gets in place of a new password.
//!
//! `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5803 in spirit, `src/common/scram-common.c` in fact).
//! From a verifier nobody can log in, but it can be guessed against: it belongs in SQL to the server and nowhere else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dizzy_host::{
    port::{Kind, PortError, PortResult, Randomness},
    secret::Password,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

/// PostgreSQL's own default (`scram_iterations`, before version 16 the constant `SCRAM_DEFAULT_ITERATIONS`). More would slow every
/// login of every consumer, and generated passwords have too much entropy for guessing to matter.
const ITERATIONS: u32 = 4096;
/// PostgreSQL's own default (`SCRAM_DEFAULT_SALT_LEN`).
const SALT_BYTES: usize = 16;

/// Computes a verifier for `password` with a fresh salt.
///
/// # Errors
/// `Policy` for a password that no PostgreSQL client can send: empty, or with a NUL; `Io` without randomness.
pub(crate) fn verifier(password: &Password, randomness: &dyn Randomness) -> PortResult<Zeroizing<String>> {
    let text = password.expose();
    if text.is_empty() || text.contains('\0') {
        return Err(PortError::refused(Kind::Policy, "compute a verifier for an empty password, or one with a NUL"));
    }
    let mut salt = [0; SALT_BYTES];
    randomness.fill(&mut salt)?;
    Ok(verifier_with(text, &salt, ITERATIONS))
}

fn verifier_with(password: &str, salt: &[u8], iterations: u32) -> Zeroizing<String> {
    let prepared = prepare(password);
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), salt, iterations, salted.as_mut());
    let mut client_key = mac(&salted, b"Client Key");
    let stored_key = Sha256::digest(client_key);
    client_key.zeroize();
    let server_key = mac(&salted, b"Server Key");
    let (salt, stored, server) = (STANDARD.encode(salt), STANDARD.encode(stored_key), STANDARD.encode(server_key));
    Zeroizing::new(format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"))
}

/// SASLprep where it applies, the bytes as they are where it does not: what the server and every client do
/// (`pg_saslprep` falls back for prohibited characters, and when nothing would be left).
fn prepare(password: &str) -> Zeroizing<String> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => Zeroizing::new(prepared.into_owned()),
        Ok(_) | Err(_) => Zeroizing::new(password.to_owned()),
    }
}

fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length (RFC 2104), so there is no error to report.
    let mut mac = <Hmac<Sha256>>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3: user "user", password "pencil"; StoredKey and ServerKey derived with Python's hashlib from that salt.
    #[test]
    fn the_keys_of_rfc_7677_come_out() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = verifier_with("pencil", &salt, 4096);
        assert_eq!(
            verifier.as_str(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn the_server_signature_of_rfc_7677_verifies_with_the_server_key() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = verifier_with("pencil", &salt, 4096);
        let server_key: [u8; 32] = STANDARD.decode(verifier.rsplit(':').next().unwrap()).unwrap().try_into().unwrap();
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(
            STANDARD.encode(mac(&server_key, message.as_bytes())),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn preparation_follows_postgresql() {
        assert_eq!(prepare("I\u{00AD}X").as_str(), "IX", "RFC 4013: the soft hyphen maps to nothing");
        assert_eq!(prepare("\u{2168}").as_str(), "IX", "RFC 4013: compatibility forms");
        assert_eq!(prepare("tab\there").as_str(), "tab\there", "prohibited: bytes as they are");
        assert_eq!(prepare("\u{00AD}").as_str(), "\u{00AD}", "nothing left: bytes as they are");
    }

    #[test]
    fn passwords_that_no_client_can_send_are_refused() {
        struct Zeros;
        impl Randomness for Zeros {
            fn fill(&self, bytes: &mut [u8]) -> PortResult<()> {
                bytes.fill(0);
                Ok(())
            }
        }
        for text in ["", "nul\0inside"] {
            assert_eq!(verifier(&Password::new(text.to_owned()), &Zeros).unwrap_err().kind, Kind::Policy);
        }
        assert!(verifier(&Password::new("good".to_owned()), &Zeros).is_ok());
    }
}
