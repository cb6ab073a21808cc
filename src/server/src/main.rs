//! The binary `callboard`: hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    callboard::App::new().run()
}
