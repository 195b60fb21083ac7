//! Secrets in memory: types without Debug contents, Display or Serialize, wiped when dropped.
//!
//! `expose` is for adapters only, at the moment of use. Comparison takes constant time.

use core::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

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
                Self(SecretString::from(text))
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
