//! callboard-stores
