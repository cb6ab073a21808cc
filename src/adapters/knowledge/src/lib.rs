//! The tool `knowledge`: retrieval over a folder of documents.
