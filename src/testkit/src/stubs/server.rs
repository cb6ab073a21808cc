//! The HTTP server under every stub: a thread and a runtime of its own, a random loopback port, JSON replies.
//!
//! A service (such as [`super::Weather`]) gives it two functions: what to answer, and how its errors look.
//! [`super::control`] decides whether and when.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::sync::oneshot;

use super::control::{Control, InFlight};
use super::flow::Flowing;
use super::request::{Received, Reply};

/// No tool or model sends more; a larger body is a mistake that a test should see as 413.
const MAX_BODY_BYTES: usize = 8 << 20;

/// What a service answers. Runs on the stub's thread.
pub(super) type Answer = Box<dyn Fn(&Received) -> Reply + Send + Sync>;
/// How a service words an error of that status.
pub(super) type Fault = fn(u16) -> Value;

/// A running stub service. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    control: Arc<Control>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    pub(super) fn start(name: &str, answer: Answer, fault: Fault) -> io::Result<Self> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), name, answer, fault)
    }

    pub(super) fn listen(address: SocketAddr, name: &str, answer: Answer, fault: Fault) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let control = Arc::new(Control::new());
        let (stop, stopped) = oneshot::channel();
        let service = Arc::new(Service { control: control.clone(), answer, fault });
        let thread = std::thread::Builder::new().name(format!("stub-{name}")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, service) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, control, stop: Some(stop), thread: Some(thread) })
    }

    /// Scheme, host and port, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request that arrives from now on is answered this much later.
    pub fn delay(&self, delay: Duration) {
        self.control.set_delay(delay);
    }

    /// Every request that arrives from now on is acted upon at once and its answer kept back this long: for a
    /// caller that dies between an effect and hearing of it.
    pub fn delay_answer(&self, delay: Duration) {
        self.control.set_answer_delay(delay);
    }

    /// From now on GET is answered at once, whatever the delays: for a service that is slow to act and quick to tell.
    pub fn quick_reads(&self) {
        self.control.set_quick_reads();
    }

    /// Holds every answer back until [`Self::release`]: for a test that does something while a call is under
    /// way.
    pub fn hold(&self) {
        self.control.set_held(true);
    }

    /// Lets held answers go.
    pub fn release(&self) {
        self.control.set_held(false);
    }

    /// The next `requests` requests are answered with `status`. Adds to what was asked before.
    pub fn fail_next(&self, requests: usize, status: u16) {
        self.control.fail_next(requests, status);
    }

    /// The next request is answered with `status` and these headers.
    pub fn refuse_next(&self, status: u16, headers: &[(&str, &str)]) {
        self.control.refuse_next(status, headers);
    }

    /// The next `connections` connections are reset as soon as they have sent something.
    pub fn reset_next(&self, connections: usize) {
        self.control.reset_next(connections);
    }

    /// Errors repeat the request's `Authorization`, as careless servers do.
    pub fn echo_authorization(&self) {
        self.control.set_echoes();
    }

    /// Every request is answered with `status`, until [`Self::heal`].
    pub fn fail_always(&self, status: u16) {
        self.control.fail_always(status);
    }

    /// Neither fails nor delays nor holds any more.
    pub fn heal(&self) {
        self.control.heal();
    }

    /// How many requests have arrived, failed ones too.
    pub fn hits(&self) -> usize {
        self.control.hits()
    }

    /// How many of the kept requests were for `path`.
    pub fn hits_of(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }

    /// How many requests wait for their answer right now.
    pub fn in_flight(&self) -> usize {
        self.control.in_flight()
    }

    /// The most that ever waited at once.
    pub fn peak_in_flight(&self) -> usize {
        self.control.peak_in_flight()
    }

    /// The last 1,024 requests, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.control.requests()
    }

    /// Starts counting anew.
    pub fn forget(&self) {
        self.control.forget();
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A stub that panicked has failed its request, which is where the test sees it.
            let _ = thread.join();
        }
    }
}

struct Service {
    control: Arc<Control>,
    answer: Answer,
    fault: Fault,
}

impl Service {
    async fn reply(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            return Reply::new(413, (self.fault)(413));
        };
        let received = Received::new(parts, body.to_bytes().to_vec());
        let (orders, _in_flight): (_, InFlight<'_>) = self.control.arrived(received.clone());
        tokio::time::sleep(orders.delay).await;
        self.control.released().await;
        let reply = match orders.fail_with {
            Some((status, headers)) => {
                let mut fault = (self.fault)(status);
                if let Some(echo) = self.control.echo(&received) {
                    repeat(&mut fault, &echo);
                }
                Reply { headers, ..Reply::new(status, fault) }
            }
            None => (self.answer)(&received),
        };
        tokio::time::sleep(orders.answer_delay).await;
        reply
    }
}

async fn serve(listener: TcpListener, service: Arc<Service>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is non-blocking");
    loop {
        // A connection that ended before it was accepted is its client's affair.
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Words are to arrive as they are sent: Nagle's algorithm holds the second one back until the first is acknowledged, 40 ms
        // later.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        if service.control.resets() {
            tokio::spawn(reset(stream));
            continue;
        }
        tokio::spawn(async move {
            let handler = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(http(service.reply(request).await)) }
            });
            // A client that hangs up mid-request is what some tests are about.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), handler)
                .await;
        });
    }
}

/// Puts `words` behind every text in an error.
fn repeat(fault: &mut Value, words: &str) {
    match fault {
        Value::String(text) => text.push_str(&format!(" {words}")),
        Value::Object(fields) => fields.values_mut().for_each(|field| repeat(field, words)),
        _ => {}
    }
}

/// Reads the beginning of a request and resets its connection.
async fn reset(stream: tokio::net::TcpStream) {
    if stream.readable().await.is_ok() {
        let _ = stream.try_read(&mut [0; 256]);
        // What is not read makes the kernel reset; no linger makes sure of it.
        let _ = stream.set_zero_linger();
    }
}

fn http(reply: Reply) -> Response<Either<Full<Bytes>, Flowing>> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let (content_type, body) = match reply.stream {
        Some(flow) => (flow.content_type, Either::Right(Flowing::new(flow))),
        None => ("application/json", Either::Left(Full::new(Bytes::from(reply.body.to_string())))),
    };
    response
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .expect("a stub replies with a status between 100 and 999")
}
