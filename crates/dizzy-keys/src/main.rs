//! The binary; everything is in the library beside it.
fn main() -> std::process::ExitCode {
    dizzy_keys::harden();
    dizzy_keys::run(std::env::args_os())
}
