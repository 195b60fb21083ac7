//! Secrets in memory: types without Debug contents, Display or Serialize, wiped when dropped.
//!
//! `expose` is for adapters only, at the moment of use. Comparison takes constant time.

use core::{fmt, mem};

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A database password.
#[derive(Clone)]
pub struct Password(SecretString);

/// The text of a secret (a JSON document, a key), as a store holds it.
#[derive(Clone)]
pub struct SecretText(SecretString);

macro_rules! secret_type {
    ($name:ident) => {
        impl $name {
            /// Takes ownership of the text; it is wiped when the last copy is dropped.
            #[must_use]
            pub fn new(text: String) -> Self {
                let mut text = Zeroizing::new(text);
                // A box has no room to spare: giving it back may move the text and leave the first copy behind.
                if text.capacity() == text.len() {
                    return Self(SecretString::from(mem::take(&mut *text)));
                }
                Self(SecretString::from(text.as_str().to_owned()))
            }

            /// The text itself. For adapters, at the moment of use; never for messages.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([REDACTED])"))
            }
        }
    };
}

secret_type!(Password);
secret_type!(SecretText);

#[cfg(test)]
mod tests {
    use core::{fmt, marker::PhantomData};

    use serde::Serialize;
    use zeroize::ZeroizeOnDrop;

    use super::*;
    use crate::document::{Credential, SecretDocument};

    /// Whether a type has a trait: the constant of the type goes before the trait's, where it applies.
    macro_rules! has {
        ($kind:ty: $bound:path) => {{
            struct Asked<T>(PhantomData<T>);
            #[allow(dead_code, reason = "one of the two constants is the answer")]
            impl<T: $bound> Asked<T> {
                const ANSWER: bool = true;
            }
            #[allow(dead_code, reason = "one of the two constants is the answer")]
            trait Otherwise {
                const ANSWER: bool = false;
            }
            impl<T> Otherwise for Asked<T> {}
            Asked::<$kind>::ANSWER
        }};
    }

    #[test]
    fn secrets_are_neither_displayed_nor_serialized() {
        // The question can be answered with yes.
        assert!(
            has!(String: fmt::Display) && has!(String: Serialize) && has!(String: fmt::Debug) && has!(String: Clone)
        );
        assert!(!has!(Password: fmt::Display) && !has!(Password: Serialize));
        assert!(!has!(SecretText: fmt::Display) && !has!(SecretText: Serialize));
        assert!(!has!(Credential: fmt::Display) && !has!(Credential: Serialize));
        assert!(!has!(SecretDocument: fmt::Display) && !has!(SecretDocument: Serialize));
        assert!(has!(SecretString: ZeroizeOnDrop), "what the types are made of is wiped");
    }

    #[test]
    fn debug_shows_nothing_and_room_to_spare_changes_nothing() {
        let mut roomy = String::with_capacity(1000);
        roomy.push_str("canary-5Hq");
        for text in ["canary-5Hq".to_owned(), roomy] {
            let (password, secret) = (Password::new(text.clone()), SecretText::new(text));
            let credential = Credential {
                username: "orders".to_owned(),
                password: password.clone(),
                host: None,
                port: None,
                dbname: None,
                service: None,
            };
            let document = SecretText::new("{\"password\":\"canary-5Hq\"}".to_owned());
            let document = SecretDocument::parse(document).unwrap();
            let shown = format!("{password:?} {password:#?} {secret:?} {credential:?} {document:?} {document:#?}");
            assert!(shown.contains("Password([REDACTED])") && !shown.contains("canary"), "{shown}");
            assert_eq!((password.expose(), secret.expose()), ("canary-5Hq", "canary-5Hq"));
        }
    }
}
