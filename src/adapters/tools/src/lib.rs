//! callboard-tools
