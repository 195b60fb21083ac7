//! Replies: the messages of an answer, in the order in which they go out.

use crate::{
    refusal::Refusal,
    wire::{
        values::{ColumnType, Value},
        writer::Writer,
    },
};

const MESSAGE_PROTOCOL: u8 = 1;
const MESSAGE_DATA_TYPES: u8 = 2;
const MESSAGE_ERROR: u8 = 4;
const MESSAGE_ROW_HEADER: u8 = 6;
const MESSAGE_ROW: u8 = 7;
const MESSAGE_PARAMETER: u8 = 8;
const MESSAGE_STATUS: u8 = 9;
const MESSAGE_WARNING: u8 = 15;
const MESSAGE_DESCRIBE: u8 = 16;
const MESSAGE_END: u8 = 29;

const CHARSET_UTF8: u16 = 873;
const CHARSET_UTF16: u16 = 2000;
const FORM_DATABASE: u8 = 1;

/// The error number that ends the rows of a query.
const NO_MORE_ROWS: u32 = 1403;

/// Compile-time capabilities: index 7 is the field version; 40 (request boundaries) and 54 (readiness notes) stay off, and
/// with them the notes that clients would otherwise send.
const CAPABILITIES: usize = 55;
const CAPABILITY_FIELD_VERSION: usize = 7;
/// Run-time capabilities: index 6 says that strings may have 32767 bytes.
const RUNTIME_CAPABILITIES: [u8; 7] = [0, 0, 0, 0, 0, 0, 0x04];

/// A column of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
}

/// An answer under construction.
#[derive(Debug)]
pub(crate) struct Reply {
    out: Writer,
    /// The field version of the session.
    version: u8,
}

impl Reply {
    pub(crate) fn new(version: u8) -> Self {
        Self { out: Writer::default(), version }
    }

    /// The bytes, with the mark of the end where the session has one.
    pub(crate) fn finish(mut self, end_of_response: bool) -> Vec<u8> {
        if end_of_response {
            self.out.u8(MESSAGE_END);
        }
        self.out.into_bytes()
    }

    pub(crate) fn protocol(mut self, server_version: u8, banner: &str) -> Self {
        let mut capabilities = [0; CAPABILITIES];
        if let Some(version) = capabilities.get_mut(CAPABILITY_FIELD_VERSION) {
            *version = server_version;
        }
        self.out.u8(MESSAGE_PROTOCOL).u8(6).u8(0).raw(banner.as_bytes()).u8(0);
        self.out.u16_little(CHARSET_UTF8).u8(1).u16_little(0);
        // The format description: nothing but the national character set is read of it.
        self.out.u16(11).zeros(9).u16(CHARSET_UTF16);
        self.out.bytes(&capabilities).bytes(&RUNTIME_CAPABILITIES);
        self
    }

    pub(crate) fn data_types(mut self) -> Self {
        self.out.u8(MESSAGE_DATA_TYPES).u16(0);
        self
    }

    /// Names and values, each with a flag word.
    pub(crate) fn pairs(mut self, pairs: &[(&str, String, u64)]) -> Self {
        self.out.u8(MESSAGE_PARAMETER).size(pairs.len());
        for (key, value, flags) in pairs {
            self.out.bytes_twice(key.as_bytes()).bytes_twice(value.as_bytes()).int(*flags);
        }
        self
    }

    pub(crate) fn warning(mut self, warning: &Refusal) -> Self {
        let text = warning.to_string();
        self.out.u8(MESSAGE_WARNING).int(warning.code.into()).size(text.len()).int(0).bytes(text.as_bytes());
        self
    }

    pub(crate) fn status(mut self) -> Self {
        self.out.u8(MESSAGE_STATUS).zero_ints(2);
        self
    }

    pub(crate) fn describe(mut self, columns: &[Column]) -> Self {
        let out = &mut self.out;
        let width: u64 = columns.iter().map(|column| column.kind.size()).sum();
        out.u8(MESSAGE_DESCRIBE).bytes(&[]).int(width).size(columns.len());
        if !columns.is_empty() {
            out.u8(0);
        }
        for (column, position) in columns.iter().zip(1_u64..) {
            let is_text = column.kind == ColumnType::Text;
            out.u8(column.kind.number()).u8(0).u8(0).u8(0);
            out.int(column.kind.size()).int(0).int(0).bytes_twice(&[]).int(0);
            out.int(if is_text { CHARSET_UTF8.into() } else { 0 }).u8(if is_text { FORM_DATABASE } else { 0 });
            out.int(if is_text { column.kind.size() } else { 0 });
            if self.version >= 8 {
                out.int(0);
            }
            out.u8(1).u8(0).bytes_twice(column.name.as_bytes()).bytes_twice(&[]).bytes_twice(&[]);
            out.int(position).int(0);
            if self.version >= 17 {
                out.bytes_twice(&[]).bytes_twice(&[]);
            }
            if self.version >= 20 {
                out.int(0);
            }
            if self.version >= 24 {
                out.int(0).u8(0).u8(0);
            }
        }
        out.bytes_twice(&[]).zero_ints(4).bytes_twice(&[]);
        self
    }

    pub(crate) fn rows(mut self, rows: &[Vec<Value>]) -> Self {
        self.out.u8(MESSAGE_ROW_HEADER).u8(0).zero_ints(6);
        for row in rows {
            self.out.u8(MESSAGE_ROW);
            for value in row {
                self.out.bytes(&value.encode());
            }
        }
        self
    }

    /// The end of a statement that succeeded.
    pub(crate) fn done(mut self, cursor: u64, rows: u64) -> Self {
        self.out.u8(MESSAGE_PARAMETER).zero_ints(4);
        self.error(0, "", cursor, rows)
    }

    /// The end of a batch of rows, of which more or no more are left.
    pub(crate) fn batch_done(mut self, cursor: u64, rows: u64, more: bool) -> Self {
        self.out.u8(MESSAGE_PARAMETER).zero_ints(4);
        if more {
            self.error(0, "", cursor, rows)
        } else {
            self.error(NO_MORE_ROWS, "ORA-01403: no data found", cursor, rows)
        }
    }

    pub(crate) fn refusal(self, refusal: &Refusal) -> Self {
        self.error(refusal.code, &refusal.to_string(), 0, 0)
    }

    fn error(mut self, code: u32, text: &str, cursor: u64, rows: u64) -> Self {
        let out = &mut self.out;
        out.u8(MESSAGE_ERROR).zero_ints(3).int(u64::from(code).min(u64::from(u16::MAX))).zero_ints(2);
        out.int(cursor).int(0).zeros(6);
        out.zero_ints(2).u8(0).zero_ints(2); // row identifier
        out.int(0).u8(0).u8(0).int(0).int(0).zero_ints(4);
        out.int(code.into()).int(rows);
        if self.version >= 14 {
            out.zero_ints(2);
        }
        if code != 0 {
            out.bytes(text.as_bytes());
        }
        self
    }
}
