//! The binary `callboard`: reads the command line and hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    callboard::main(std::env::args_os().collect())
}
