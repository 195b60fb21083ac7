//! What mends a finding or an error, as exact text for whoever carries it out.
//!
//! Made where the fault is seen, because only there is everything known that the text needs. It never holds a secret. What only the reader
//! knows (a role, a compartment) stands in it as a shell variable in capital letters.

/// A cloud that grants rights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cloud {
    /// Amazon Web Services.
    Aws,
    /// Oracle Cloud Infrastructure.
    Oci,
}

/// One way to mend one thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mend {
    /// `prepare` does it, if the database has an `admin`. `sql` is the same for an administrator; `None`: a password is to be made as well,
    /// which only `prepare` can publish.
    Prepare {
        /// Statements, without any password.
        sql: Option<String>,
    },
    /// What `policy` prints for the configuration, granted in this cloud.
    Rights(Cloud),
    /// Keys of the configuration, as TOML with the header of their table. Where the table has such a key already, it takes its place.
    Setting(String),
    /// A command line for a POSIX shell.
    Shell(String),
    /// Statements for an administrator of the database at fault.
    Sql(String),
}

/// A word of a command line, as a shell reads it back.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
