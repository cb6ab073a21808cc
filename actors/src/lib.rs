//! callboard-actors
