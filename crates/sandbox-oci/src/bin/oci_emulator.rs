//! Runs the emulator by hand: writes a principal's configuration into a folder, prints the environment, ends with its input.

use std::{
    env,
    io::{self, Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use dizzy_sandbox_oci::{KeyFormat, OciEmulator, Options, Rights, SecretOptions};

fn main() -> Result<()> {
    let folder = env::args().nth(1).context("usage: oci-emulator FOLDER  (ends when its standard input does)")?;
    let emulator = OciEmulator::start(Options::default())?;
    let files = emulator.principal("operator", Rights::all())?.write_config(Path::new(&folder), KeyFormat::Pkcs8)?;
    let secret = emulator.create_secret(&SecretOptions::new("example", "first content"))?;
    let mut out = io::stdout().lock();
    writeln!(out, "OCI_CONFIG_FILE={}", files.config.display())?;
    for (name, value) in emulator.endpoint_env() {
        writeln!(out, "{name}={value}")?;
    }
    writeln!(out, "EXAMPLE_SECRET={secret}")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
