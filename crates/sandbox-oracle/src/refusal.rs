//! Refusals: an ORA number and its text.
//!
//! Clients are meant to look at the number only. The texts are those that the database's error reference has had for
//! years; release 23ai words some of them differently, which `Mode` chooses.

use std::fmt;

/// Why the database says no.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The number: 1017 for ORA-01017.
    pub code: u32,
    /// The text after the number; further lines are further messages.
    pub text: String,
}

impl Refusal {
    /// The refusal of this number, with its usual text.
    #[must_use]
    pub fn ora(code: u32) -> Self {
        Self { code, text: usual_text(code).to_owned() }
    }

    /// The refusal of this number with a text of its own.
    #[must_use]
    pub fn saying(code: u32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ORA-{:05}: {}", self.code, self.text)
    }
}

fn usual_text(code: u32) -> &'static str {
    match code {
        28 => "your session has been killed",
        30 => "User session ID does not exist.",
        900 => "invalid SQL statement",
        904 => "invalid identifier",
        911 => "invalid character",
        922 => "missing or invalid option",
        923 => "FROM keyword not found where expected",
        933 => "SQL command not properly ended",
        936 => "missing expression",
        942 => "table or view does not exist",
        959 => "tablespace does not exist",
        988 => "missing or invalid password(s)",
        1001 => "invalid cursor",
        1005 => "null password given; logon denied",
        1008 => "not all variables bound",
        1012 => "not logged on",
        1013 => "user requested cancel of current operation",
        1017 => "invalid username/password; logon denied",
        1031 => "insufficient privileges",
        1033 => "ORACLE initialization or shutdown in progress",
        1034 => "ORACLE not available",
        1045 => "user lacks CREATE SESSION privilege; logon denied",
        1089 => "immediate shutdown or close in progress - no operations are permitted",
        1722 => "invalid number",
        1917 => "user or role does not exist",
        1918 => "user does not exist",
        1919 => "role does not exist",
        1920 => "user name conflicts with another user or role name",
        1921 => "role name conflicts with another user or role name",
        1940 => "cannot drop a user that is currently connected",
        2376 => "invalid or redundant resource",
        2377 => "invalid profile limit",
        2379 => "profile already exists",
        2380 => "profile does not exist",
        3113 => "end-of-file on communication channel",
        3115 => "unsupported network datatype or representation",
        4042 => "procedure, function, package, or package body does not exist",
        6550 => "PL/SQL compilation error",
        28000 => "the account is locked",
        28001 => "the password has expired",
        28002 => "the password will expire",
        28003 => "password verification for the specified password failed",
        28007 => "the password cannot be reused",
        28008 => "invalid old password",
        28221 => "REPLACE not specified",
        28227 => "Gradual password rollover is not supported for administrative users.",
        _ => "refused by the emulator",
    }
}
