//! The idempotency token of a staged version: a UUID that every worker derives alike, from names only.
//!
//! Secrets Manager uses the token as the version's id. Equal tokens are what makes the first writer win: a second put with
//! other data is refused, and one with the same data does nothing.

use sha2::{Digest as _, Sha256};

/// The token of `name` in the secret `id`, under the salt that the set gave the store. A version made of an edit has the edited version's id
/// behind its name.
///
/// Form: a UUID of version 8 (RFC 9562, "custom"), 36 characters; Secrets Manager asks for 32 to 64.
pub(crate) fn token_for(salt: &str, id: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"dizzy-keys version token 1");
    for part in [salt, secret_name(id), name] {
        // With the length in front, no two triples give the same bytes. Eight bytes of it on every machine.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut token = String::with_capacity(36);
    for (at, byte) in digest.iter().take(16).enumerate() {
        let byte = match at {
            6 => (byte & 0x0f) | 0x80,
            8 => (byte & 0x3f) | 0x80,
            _ => *byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            token.push('-');
        }
        token.push_str(&format!("{byte:02x}"));
    }
    token
}

/// The secret's name, whether the configuration gives the name or the ARN, so that rewriting one as the other between two
/// runs does not change the token of a version that is already staged.
///
/// An ARN ends in the name, a hyphen and six random characters. Of a partial ARN, without these, a name that itself ends in
/// such a group loses it: the token is then another one than for the plain name, and still the same for every worker.
fn secret_name(id: &str) -> &str {
    let Some((_, name)) = id.strip_prefix("arn:").and_then(|arn| arn.split_once(":secret:")) else { return id };
    match name.rsplit_once('-') {
        Some((name, suffix)) if suffix.len() == 6 && suffix.bytes().all(|b| b.is_ascii_alphanumeric()) => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use dizzy_engine::Generation;
    use dizzy_host::port::VersionName;

    use super::*;

    fn token(salt: &str, id: &str, generation: u64, register: &str) -> String {
        token_for(salt, id, &VersionName::new(Generation(generation), register).to_string())
    }

    #[test]
    fn the_token_is_a_fixed_uuid() {
        // Fixed for ever: a changed derivation would stage a second version of a generation that is under way.
        assert_eq!(token("orders", "prod/orders", 7, "0123456789"), "7488b812-e841-8fd7-81e0-c9ece25e03ce");
    }

    #[test]
    fn every_part_changes_the_token() {
        let base = token("orders", "prod/orders", 7, "0123456789");
        let others = [
            token("ordersp", "rod/orders", 7, "0123456789"),
            token("other", "prod/orders", 7, "0123456789"),
            token("orders", "prod/other", 7, "0123456789"),
            token("orders", "prod/orders", 8, "0123456789"),
            token("orders", "prod/orders", 7, "9876543210"),
        ];
        for other in others {
            assert_ne!(other, base);
        }
    }

    #[test]
    fn name_and_arn_of_one_secret_give_one_token() {
        let name = token("orders", "prod/orders", 7, "0123456789");
        let arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:prod/orders-AbCd12";
        assert_eq!(token("orders", arn, 7, "0123456789"), name);
        assert_eq!(secret_name("arn:aws:secretsmanager:us-west-2:1:secret:plain"), "plain");
        assert_eq!(secret_name("ends-in-abc123"), "ends-in-abc123");
    }
}
