//! callboard-models
