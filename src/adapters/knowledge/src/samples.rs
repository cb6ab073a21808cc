//! The sample documents: those of a home battery that does not exist, so that the first run has something to ask.
//!
//! They are files of this repository, below `samples`, and part of the binary. They are written to the data folder,
//! because a citation should name a file that can be opened.

use std::io;
use std::path::Path;

macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        /// Name and content.
        pub(crate) const SAMPLES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../samples/", $name)))),*];
    };
}

samples!(
    "accessories/backup-switch.md",
    "accessories/outdoor-hood.md",
    "app.md",
    "error-codes.md",
    "faq.html",
    "installation.md",
    "local-api.md",
    "maintenance.md",
    "overview.md",
    "prices.md",
    "privacy.html",
    "quick-start.md",
    "release-notes.txt",
    "returns.txt",
    "specifications.html",
    "troubleshooting.md",
    "warranty.md",
);

/// What they are about, for planners.
pub(crate) const ABOUT: &str = "the Fellmark Cairn, a home battery: models and technical data, prices, delivery and returns, \
                                installation, app and local API, error codes, maintenance, warranty and privacy";

/// Makes `folder` hold the samples; what is as it should be stays untouched.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    for (name, text) in SAMPLES {
        let path = folder.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == *text) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, text)?;
    }
    Ok(())
}
