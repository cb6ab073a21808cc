//! Stub services on random loopback ports: what tools and models call, under the test's control.
//!
//! [`Weather`] and [`Exchange`] have the shapes of Open-Meteo and Frankfurter, [`Ollama`] and [`OpenAi`]
//! those of the model servers; [`Counter`] counts effects from outside. Each is a [`Stub`] underneath: it can be slow, held back or failing, and it
//! counts and keeps what it was asked. `server` is the HTTP part, `control` the levers, `model` what a model
//! says next.

mod control;
mod counter;
mod exchange;
mod flow;
mod model;
mod ollama;
mod openai;
mod request;
mod server;
mod weather;

pub use counter::{Counter, Executions};
pub use exchange::Exchange;
pub use model::{Misbehaviour, ModelServer};
pub use ollama::Ollama;
pub use openai::OpenAi;
pub use request::{Received, Reply};
pub use server::Stub;
pub use weather::{City, Weather};
