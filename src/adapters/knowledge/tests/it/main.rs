//! The tool as a pool uses it: folders of documents, questions, citations that are looked up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod changes;
mod citations;
mod index;
mod refusals;
mod vectors;
mod world;
