//! Names: of streams, and of the objects that hold their lines.
//!
//! One stream has one writer: its epoch was taken by compare-and-swap, and its run is random per process, for records of
//! workers that hold no epoch of their own. Rotation and epoch are written with leading zeros, and no stream stands before the
//! one that it continues ([`StreamId::not_before`]), so a plain listing shows the history in order.

use core::fmt;

/// First part of every object's name: the version of the layout.
pub const LAYOUT: &str = "v1";

/// Name of the object that holds all lines of a stream.
pub const SEGMENT: &str = "segment.ndjson";

/// Name of the object that holds the signed note over a stream's end.
pub const CHECKPOINT: &str = "checkpoint.note";

/// Ending of an object that holds lines; before it the number of its first line.
const LINES: &str = ".ndjson";

/// Who wrote a line, and where it belongs.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StreamId {
    /// Name of the rotation set.
    pub set: String,
    /// Highest generation that the set had issued, or that a record before this stream announces.
    pub rotation: u64,
    /// Epoch of the writer; a higher one where the stream would stand before the one that it continues.
    pub epoch: u64,
    /// Random per process.
    pub run: u32,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, rotation, epoch, run } = self;
        write!(f, "{set}/{rotation:010}/{epoch:010}-{run:08x}")
    }
}

impl StreamId {
    /// Reads what `Display` writes, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (set, rotation, writer, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let (epoch, run) = writer.split_once('-')?;
        let run = (run.len() == 8).then(|| u32::from_str_radix(run, 16).ok())??;
        let id = Self { set: set.to_owned(), rotation: rotation.parse().ok()?, epoch: epoch.parse().ok()?, run };
        (!set.is_empty() && id.to_string() == text).then_some(id)
    }

    /// This stream, so named that a listing shows it after the stream that it continues. A worker may know less than what it
    /// continues: an Intent that was recorded and did not reach the register, or a register that was read late.
    #[must_use]
    pub fn not_before(self, continued: &Self) -> Self {
        if self.rotation > continued.rotation {
            return self;
        }
        // Of two runs in one epoch the lower number stands first.
        let least = continued.epoch.saturating_add(u64::from(self.run < continued.run));
        Self { rotation: continued.rotation, epoch: self.epoch.max(least), ..self }
    }

    /// The folder of its objects, with a slash at the end.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{LAYOUT}/{self}/")
    }

    /// Name of the object whose first line has this number.
    #[must_use]
    pub fn lines(&self, first: u64) -> String {
        format!("{}{first:06}{LINES}", self.folder())
    }

    /// Name of the object that holds all its lines.
    #[must_use]
    pub fn segment(&self) -> String {
        format!("{}{SEGMENT}", self.folder())
    }

    /// Name of the object that holds its signed note.
    #[must_use]
    pub fn checkpoint(&self) -> String {
        format!("{}{CHECKPOINT}", self.folder())
    }
}

/// What an object's name says about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ObjectName {
    /// Lines, beginning with this number.
    Lines(StreamId, u64),
    /// All lines of the stream.
    Segment(StreamId),
    /// The signed note of the stream.
    Checkpoint(StreamId),
}

impl ObjectName {
    /// Reads an object's name; `None` for one that is not ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (folder, file) = name.strip_prefix(LAYOUT)?.strip_prefix('/')?.rsplit_once('/')?;
        let stream = StreamId::parse(folder)?;
        match file {
            SEGMENT => Some(Self::Segment(stream)),
            CHECKPOINT => Some(Self::Checkpoint(stream)),
            _ => {
                let first = file.strip_suffix(LINES)?.parse().ok()?;
                (stream.lines(first) == name).then_some(Self::Lines(stream, first))
            }
        }
    }

    /// The stream it belongs to.
    #[must_use]
    pub const fn stream(&self) -> &StreamId {
        match self {
            Self::Lines(stream, _) | Self::Segment(stream) | Self::Checkpoint(stream) => stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> StreamId {
        StreamId { set: "orders".to_owned(), rotation: 5, epoch: 12, run: 0x1a2b }
    }

    #[test]
    fn names_are_read_back_and_have_one_spelling() {
        let text = "orders/0000000005/0000000012-00001a2b";
        assert_eq!(id().to_string(), text);
        assert_eq!(StreamId::parse(text), Some(id()));
        for wrong in [
            "orders/5/0000000012-00001a2b",
            "orders/0000000005/0000000012-00001A2B",
            "orders/0000000005/0000000012-+0001a2b",
            "orders/0000000005/0000000012",
            "/0000000005/0000000012-00001a2b",
            "orders/0000000005/0000000012-00001a2b/x",
        ] {
            assert_eq!(StreamId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_stream_stands_after_the_one_that_it_continues() {
        let at = |rotation, epoch, run| StreamId { rotation, epoch, run, ..id() };
        let continued = at(5, 12, 7);
        for (stream, named) in [
            (at(6, 1, 1), at(6, 1, 1)),
            (at(5, 13, 1), at(5, 13, 1)),
            (at(5, 12, 8), at(5, 12, 8)),
            (at(5, 12, 1), at(5, 13, 1)),
            (at(4, 13, 1), at(5, 13, 1)),
            (at(4, 2, 9), at(5, 12, 9)),
            (at(4, 2, 7), continued.clone()),
        ] {
            let this = stream.clone().not_before(&continued);
            assert_eq!(this, named, "{stream}");
            assert!(this == continued || this.lines(0) > continued.segment(), "{stream}");
        }
    }

    #[test]
    fn objects_are_told_apart_by_name() {
        assert_eq!(ObjectName::parse(&id().lines(7)), Some(ObjectName::Lines(id(), 7)));
        assert_eq!(ObjectName::parse(&id().segment()), Some(ObjectName::Segment(id())));
        assert_eq!(ObjectName::parse(&id().checkpoint()), Some(ObjectName::Checkpoint(id())));
        for wrong in ["7.ndjson", "000007.json", "notes.txt", ""] {
            assert_eq!(ObjectName::parse(&format!("{}{wrong}", id().folder())), None, "{wrong}");
        }
        assert_eq!(ObjectName::parse("v2/orders/0000000005/0000000012-00001a2b/000007.ndjson"), None);
    }

    #[test]
    fn a_listing_is_in_order() {
        let mut later = id();
        later.epoch = 1_000_000;
        assert!(id().lines(0) < id().lines(900) && id().lines(999_999) < id().checkpoint());
        assert!(id().checkpoint() < id().segment() && id().segment() < later.lines(0));
    }
}
