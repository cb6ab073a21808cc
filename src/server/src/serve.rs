//! `callboard serve` and `callboard worker`: from a configuration to a process that runs until it is told to
//! stop or cannot go on.
//!
//! HTTP listens before the log can be reached, so that probes see why nothing is served yet. `wiring` builds the
//! parts, `shutdown` ends them.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, middleware, web};
use callboard_actors::{Arbiters, Node, Roles};
use callboard_stores::DataDir;

use crate::cli::{Failure, Global, Outcome, ServeArgs, WorkerArgs};
use crate::config::{Config, Loaded, Part};
use crate::dead_letters::DeadLetters;
use crate::http::{Api, Rules, Running, guard, routes};
use crate::shutdown::{self, Stop};
use crate::system::SystemClock;
use crate::wiring::mcp::Mcp;
use crate::wiring::{self, Engine};
use crate::{App as Program, heart, settings, startup, telemetry};

/// How often an unreachable log is looked at again; the adapter asks with a back-off of its own.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Threads of the runtime that tools' and models' HTTP clients live on: they wait more than they work.
const HTTP_CLIENT_THREADS: usize = 2;

/// What a process is, beside its configuration.
struct Job {
    /// `serve`, `worker-default`: tells the processes of one installation apart.
    role: String,
    worker: Option<WorkerArgs>,
    listens: bool,
    /// Tools that were written in Rust.
    own: Vec<Arc<dyn wiring::Written>>,
}

/// Runs the server.
///
/// # Errors
/// [`Failure`], with the exit code of design §8.
pub fn serve(global: &Global, args: &ServeArgs, app: &Program) -> Outcome {
    let loaded = settings(global, &args.flags())?;
    run(&loaded, Job { role: "serve".to_owned(), worker: None, listens: true, own: app.tools.clone() })
}

/// Runs one role.
///
/// # Errors
/// [`Failure`]; without brokers a worker has nobody to work for.
pub fn worker(global: &Global, args: &WorkerArgs, app: &Program) -> Outcome {
    let loaded = settings(global, &args.serve.flags())?;
    if loaded.config.kafka.brokers.is_none() {
        return Err(Failure::usage(
            "a worker needs Kafka: name the brokers with --kafka-brokers HOST:PORT (on the embedded log `callboard serve` does everything)",
        ));
    }
    let role = match (&args.pool, args.synthesis) {
        (Some(pool), _) => format!("worker-{pool}"),
        (None, true) => "worker-synthesis".to_owned(),
        (None, false) => "worker-history".to_owned(),
    };
    run(
        &loaded,
        Job {
            role,
            worker: Some(args.clone()),
            listens: args.serve.listen.is_some(),
            own: app.tools.clone(),
        },
    )
}

fn run(loaded: &Loaded, job: Job) -> Outcome {
    let config = &loaded.config;
    telemetry::start(&config.telemetry).map_err(Failure::usage)?;
    check_exposure(config, job.listens)?;
    let data = wiring::data_dir(config)?;
    let listener = if job.listens { Some(bind(config)?) } else { None };
    // A runtime apart: a slow model must not hold up an arbiter's timers.
    let clients = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_CLIENT_THREADS)
        .thread_name("http-clients")
        .enable_all()
        .build()
        .map_err(Failure::job)?;
    let handle = clients.handle().clone();
    let outcome = actix_web::rt::System::new().block_on(live(loaded, job, data, listener, handle));
    clients.shutdown_background();
    outcome
}

/// Beyond loopback everybody could read and write.
fn check_exposure(config: &Config, listens: bool) -> Outcome {
    let exposed = listens && !config.listen.ip().is_loopback();
    if exposed && config.http.api_keys.0.is_empty() && !config.insecure {
        return Err(Failure::usage(format!(
            "listening on {} lets everybody in: set http.api_keys, or say --insecure",
            config.listen
        )));
    }
    Ok(())
}

fn bind(config: &Config) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(config.listen)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            Failure::usage(format!("{} is in use; choose another address with --listen", config.listen))
        } else {
            Failure::usage(format!("cannot listen on {}: {error}", config.listen))
        }
    })
}

/// The process's life inside its actix system.
async fn live(
    loaded: &Loaded,
    job: Job,
    mut data: DataDir,
    listener: Option<TcpListener>,
    clients: tokio::runtime::Handle,
) -> Outcome {
    let config = &loaded.config;
    let mut stop = Stop::listen().map_err(Failure::job)?;
    announce_engine(loaded, &job);
    let models = wiring::models(config, clients.clone()).await?;
    let (completer, embedder) = (Some(models.completer.clone()), models.embedder.clone());
    let beside = wiring::Beside { http: clients.clone(), completer, embedder, own: &job.own };
    let tools = wiring::tools(config, beside)?;
    let models = models.build(tools.clone()).map_err(Failure::usage)?;
    let servers = wiring::mcp::settings(config)?;
    let roles = roles(config, &job, &tools, &servers)?;
    let mcp = Arc::new(Mcp::start(servers, &roles, &tools, &clients));
    let serves = job.worker.is_none();
    let plans = if serves { models.banner.as_str() } else { job.role.as_str() };
    tracing::info!("{plans}; {}", place(listener.as_ref())?);
    let engine = wiring::engine(config, &data, &job.role)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = (cores / 2).max(1);
    let api = web::Data::new(Api::new(Rules::of(config, serves)));
    let server = match listener {
        Some(listener) => {
            let address = listener.local_addr().map_err(Failure::job)?;
            data.publish_address(&address.to_string()).map_err(Failure::usage)?;
            Some(http(listener, api.clone(), threads, serves)?)
        }
        None => None,
    };
    let reached = tokio::select! {
        biased;
        () = stop.asked() => false,
        reached = reach(config, &engine, &api, &mcp) => reached.map(|()| true)?,
    };
    let outcome = if reached {
        let arbiters = Arbiters::start(threads, Arc::new(SystemClock::new()));
        let snapshots = wiring::snapshots(config, &data)?;
        let name = format!("{}-{}", data.node_id(), job.role);
        let parts = wiring::Parts {
            limits: wiring::limits(config),
            engine: engine.clone(),
            snapshots,
            tools,
            models,
            arbiters,
            in_hand: wiring::in_hand(&data),
            mcp: mcp.clone(),
        };
        work(parts, roles, &name, &api, &mut stop).await
    } else {
        Ok(())
    };
    api.stop();
    api.release();
    let face = async {
        if let Some(server) = &server {
            shutdown::server(server).await;
        }
    };
    tokio::join!(face, mcp.stop());
    engine.close(shutdown::LOG_WITHIN).await;
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

/// Where it is to be found, for the first lines of its log.
fn place(listener: Option<&TcpListener>) -> Result<String, Failure> {
    Ok(match listener {
        Some(listener) => format!("open http://{}", listener.local_addr().map_err(Failure::job)?),
        None => "it listens nowhere".to_owned(),
    })
}

/// The node's life: started, shown to HTTP, ended in order.
async fn work(parts: wiring::Parts, roles: Roles, name: &str, api: &Api, stop: &mut Stop) -> Outcome {
    let (engine, arbiters) = (parts.engine.clone(), parts.arbiters.clone());
    let models = parts.models.meters.clone();
    let (snapshots, in_hand, mcp) = (parts.snapshots.clone(), parts.in_hand.clone(), parts.mcp.clone());
    let tools = parts.tools.clone();
    let started = wiring::node(parts, roles, name);
    let node = started.node.clone();
    let watched = engine.clone();
    api.run(Running {
        node: node.clone(),
        log: engine.log(),
        dead_letters: DeadLetters::new(engine.log().partitions()),
        clock: started.clock,
        entropy: started.entropy,
        tools,
        models,
        unreachable: Box::new(move || watched.unreachable()),
        mcp,
    });
    let heart = heart::beat(&engine, arbiters.clone());
    let outcome = until_the_end(&node, &engine, stop).await;
    api.stop();
    tracing::info!("stopping: nothing new is taken");
    node.stop(shutdown::NODE_WITHIN).await;
    drop(heart);
    arbiters.stop();
    // What was in hand until now is put down: no crash of anybody's work.
    in_hand.close();
    if tokio::time::timeout(shutdown::LOG_WITHIN, snapshots.close()).await.is_err() {
        tracing::warn!(
            "the snapshot store did not close in time; it is rebuilt from the log where it must be"
        );
    }
    outcome
}

/// Waits for a signal (an orderly end) or for what the node cannot survive.
async fn until_the_end(node: &Node, engine: &Engine, stop: &mut Stop) -> Outcome {
    /// A log that failed refuses every append meanwhile: nothing is lost by noticing it this late.
    const LOOK: Duration = Duration::from_millis(500);
    let broken = async {
        loop {
            if let Some(why) = engine.failure() {
                return why;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.asked() => Ok(()),
        fatal = node.failed() => {
            tracing::error!(%fatal, "the node cannot go on");
            Err(Failure::Fatal(fatal))
        }
        why = broken => Err(Failure::job(format!("the log failed: {why}; a new start reads back what was written"))),
    }
}

/// The first line: what carries the topics, and who said so.
fn announce_engine(loaded: &Loaded, job: &Job) {
    let config = &loaded.config;
    let said_by = |key: &str| match loaded.origin(key) {
        origin if origin == "default" => "the default".to_owned(),
        origin => format!("from {origin}"),
    };
    match &config.kafka.brokers {
        Some(brokers) => {
            let prefix = &config.kafka.topic_prefix;
            let prefix = if prefix.is_empty() { String::new() } else { format!(", topics {prefix}*") };
            tracing::info!("{} on Kafka at {} ({}){prefix}", job.role, brokers.0, said_by("kafka.brokers"));
        }
        None => {
            let folder = wiring::log_folder(config);
            tracing::info!(
                "{} on the embedded log at {} ({})",
                job.role,
                folder.display(),
                said_by("data_dir")
            );
        }
    }
}

fn roles(
    config: &Config,
    job: &Job,
    tools: &Arc<callboard_tools::Registry>,
    servers: &[callboard_mcp::Settings],
) -> Result<Roles, Failure> {
    // Requests for tools that run elsewhere are left to whoever runs them.
    let mut pools: Vec<String> = tools.pools_here().iter().map(ToString::to_string).collect();
    // Which tools a server has is known later, which pool runs them is not.
    pools.extend(servers.iter().map(|server| server.pool().to_owned()));
    // Requests without a pool header belong to `default`, which therefore always exists.
    pools.push("default".to_owned());
    pools.sort();
    pools.dedup();
    let history = || Some(config.data_dir.join("history.json"));
    let Some(worker) = &job.worker else {
        let without = |part| config.without.contains(&part);
        if config.kafka.brokers.is_none() && !config.without.is_empty() {
            tracing::warn!("on the embedded log nobody else can take the roles that `without` leaves out");
        }
        return Ok(Roles {
            host: true,
            pools: if without(Part::Tools) { Vec::new() } else { pools },
            synthesis: !without(Part::Synthesis),
            history: if without(Part::History) { None } else { history() },
        });
    };
    if let Some(pool) = &worker.pool
        && !pools.contains(pool)
    {
        return Err(Failure::usage(format!(
            "no tool belongs to pool {pool:?}; there are {}",
            pools.join(", ")
        )));
    }
    Ok(Roles {
        host: false,
        pools: worker.pool.iter().cloned().collect(),
        synthesis: worker.synthesis,
        history: if worker.history { history() } else { None },
    })
}

fn http(
    listener: TcpListener,
    api: web::Data<Api>,
    workers: usize,
    conversations: bool,
) -> Result<ServerHandle, Failure> {
    let app = move || {
        App::new()
            .app_data(api.clone())
            .wrap(middleware::from_fn(guard))
            .configure(|config| routes(config, conversations))
    };
    /// How long a connection may be open before its first request is whole. Clients open some ahead of their need and keep
    /// them for a minute; one that is answered 408 meanwhile looks to them like an answer to the request that they just send.
    const FIRST_REQUEST: Duration = Duration::from_secs(120);
    let server = HttpServer::new(app)
        .client_request_timeout(FIRST_REQUEST)
        .workers(workers)
        // Signals are this module's business: the node ends before its face.
        .disable_signals()
        .shutdown_timeout(shutdown::HTTP_WITHIN.as_secs())
        .listen(listener)
        .map_err(Failure::job)?
        .run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok(handle)
}

/// Waits until the log can be reached and its topics are there, and for what MCP servers have to offer.
async fn reach(config: &Config, engine: &Engine, api: &Api, mcp: &Mcp) -> Outcome {
    while let Some(why) = engine.unreachable() {
        api.starting(&why);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    api.starting("the topics are being looked at");
    startup::topics(config, engine, |why| api.starting(why)).await?;
    api.starting("the MCP servers are being started");
    mcp.settled().await;
    Ok(())
}
