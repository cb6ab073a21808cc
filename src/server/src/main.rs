//! The binary `callboard`: hands over to the library.

use std::process::ExitCode;

/// Records come in on librdkafka's threads and are let go of on the arbiters': glibc's allocator takes a lock and a system
/// call for that far more often (`bench`, CPU a turn).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    callboard::App::new().run()
}
