//! The tools as a pool uses them: through the registry, against stub services.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ask_model;
mod deposit;
mod echo;
mod exchange;
mod http_get;
mod math;
mod own_http;
mod plans;
mod sources;
mod weather;
mod webhook;
mod wire;
mod world;
