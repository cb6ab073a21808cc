//! callboard-kafka
