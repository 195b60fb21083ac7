//! `init`: writes a configuration file, the commented example or one filled from secrets that exist (`existing` looks at them,
//! `draft` writes the text). Asks nothing and overwrites nothing unasked.

mod draft;
mod existing;

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::Path,
};

use serde::Serialize;

use crate::{
    args::{Global, Init},
    code::Code,
    render::{self, Text, View},
    report::{NOTHING_DONE, Report},
};

/// The example that the repository's tests load.
pub const EXAMPLE: &str = include_str!("../../../../examples/dizzy-keys.toml");

/// What `init` did.
#[derive(Debug, Serialize)]
struct Written {
    /// The file.
    file: String,
    /// What the secrets publish, if it was filled from secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found: Vec<String>,
    /// What to do with it.
    next: Vec<String>,
}

impl View for Written {
    const KIND: &'static str = "init";

    fn text(&self, text: &mut Text) {
        for found in &self.found {
            text.line(format_args!("Found {found}."));
        }
        text.line(format_args!("Wrote {}. Next:", self.file));
        for (number, step) in self.next.iter().enumerate() {
            text.line(format_args!("  {}. {step}", number + 1));
        }
    }
}

/// Writes the file that `--config` names.
///
/// # Errors
/// [`Code::FileExists`] without `--force`; [`Code::Output`] if it cannot be written; what is wrong with a secret that it is to be
/// filled from. The file is written last, and only if all is well.
pub fn run(global: &Global, args: &Init) -> Result<(), Report> {
    let path = &global.config;
    let exists = path.symlink_metadata().is_ok();
    if exists && !args.force {
        return Err(Report::new(Code::FileExists, format!("{} exists already", path.display()), NOTHING_DONE)
            .hint("name another file with --config, or replace this one with --force"));
    }
    let secrets = existing::named(args)?;
    let program = global.invocation();
    let (text, found, next) = if secrets.is_empty() {
        let next = vec![
            "edit it: the sets, their databases, and where they are published".to_owned(),
            format!("{program} check"),
            format!("{program} prepare"),
            format!("{program} plan SET"),
        ];
        (EXAMPLE.to_owned(), Vec::new(), next)
    } else {
        let draft = draft::Draft::of(existing::look(secrets)?, args)?;
        let mut next = draft.open_ends();
        let set = &draft.set;
        next.extend(["check", "prepare", "plan"].map(|command| format!("{program} {command} {set}")));
        (draft.text(&path.display().to_string())?, draft.found(), next)
    };
    write(path, exists, &text).map_err(|error| {
        let what = format!("{} cannot be written ({})", path.display(), error.kind());
        Report::new(Code::Output, what, NOTHING_DONE).hint("name a file in a folder that this user may write to")
    })?;
    render::show(global.output, &Written { file: path.display().to_string(), found, next })
}

/// A new file appears whole or not at all; an old one is replaced whole or not at all.
fn write(path: &Path, exists: bool, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let result = File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if exists {
            return fs::rename(&beside, path);
        }
        // Fails if somebody made the file meanwhile; renaming would not.
        let reserved = OpenOptions::new().write(true).create_new(true).open(path)?;
        drop(reserved);
        fs::rename(&beside, path)
    });
    if result.is_err() {
        // What is left is an unfinished copy of our own making.
        drop(fs::remove_file(&beside));
    }
    result
}
