//! Database servers for tests and benches, from Debian's packages, started on loopback in a folder of their own and
//! stopped when they are dropped.
//!
//! `WEIR_TEST_POSTGRES` names the folder of PostgreSQL's programs and `WEIR_TEST_REDIS` Redis' own, as `cargo xtask
//! test` sets them. Else they are looked for, and installed if this may be done: as root, with `apt-get`.
//!
//! ```no_run
//! let folder = std::env::temp_dir().join("databases");
//! let postgres = weir_databases::Server::postgres(&folder.join("postgres"))?;
//! let redis = weir_databases::Server::redis(&folder.join("redis"))?;
//! assert!(postgres.url().starts_with("postgres://"));
//! assert!(redis.url().starts_with("redis://"));
//! # Ok::<(), weir_databases::ServerFailure>(())
//! ```

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The user that PostgreSQL runs as where the caller is root, which it refuses.
const POSTGRES_USER: &str = "postgres";
/// How often a server is asked whether it is up, and how often at most.
const POLL: Duration = Duration::from_millis(50);
const POLLS: u32 = 600;

/// Why there is no server, and what to do about it.
#[derive(Debug)]
pub struct ServerFailure(String);

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerFailure {}

fn cannot(what: &str, error: &io::Error) -> ServerFailure {
    ServerFailure(format!("cannot {what}: {error}"))
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    url: String,
    stop: &'static str,
}

impl Server {
    /// Starts a PostgreSQL with its data in `folder`, which is made, and with everything as durable as it comes.
    ///
    /// # Errors
    /// [`ServerFailure`] if it can be neither found nor installed, or does not start.
    pub fn postgres(folder: &Path) -> Result<Self, ServerFailure> {
        let named = std::env::var_os("WEIR_TEST_POSTGRES").map(PathBuf::from);
        let binaries = match named.or_else(postgres_binaries) {
            Some(found) => found,
            None => {
                install("postgresql")?;
                let missing = || ServerFailure("`postgresql` has no `initdb`".to_owned());
                postgres_binaries().ok_or_else(missing)?
            }
        };
        // Where `initdb` is a link, the other programs stand beside what it leads to.
        let initdb = binaries.join("initdb").canonicalize().ok();
        let binaries = initdb
            .and_then(|initdb| initdb.parent().map(Path::to_owned))
            .unwrap_or(binaries);
        fs::create_dir_all(folder).map_err(|e| cannot("make a folder for PostgreSQL", &e))?;
        let is_root = is_root();
        if is_root {
            ran(Command::new("chown").arg(POSTGRES_USER).arg(folder))?;
        }
        let data = folder.join("data");
        let as_user = |program: PathBuf| {
            let mut command = if is_root {
                let mut command = Command::new("setpriv");
                let user = [
                    format!("--reuid={POSTGRES_USER}"),
                    format!("--regid={POSTGRES_USER}"),
                ];
                command
                    .args(user)
                    .args(["--clear-groups", "--pdeathsig=INT"])
                    .arg(program);
                command
            } else {
                Command::new(program)
            };
            command.current_dir(folder);
            command
        };
        let mut initdb = as_user(binaries.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        ran(&mut initdb)?;
        let port = free_port()?;
        let mut postgres = as_user(binaries.join("postgres"));
        postgres
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
        postgres.args([
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=200",
        ]);
        let child = started(&mut postgres, &folder.join("log"))?;
        let mut server = Self {
            child,
            url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            stop: "INT",
        };
        let ready = binaries.join("pg_isready");
        server.wait(|| {
            let mut ask = Command::new(&ready);
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            ask.status().is_ok_and(|status| status.success())
        })?;
        Ok(server)
    }

    /// Starts a Redis that keeps nothing on disk, in `folder`, which is made.
    ///
    /// # Errors
    /// [`ServerFailure`] if it can be neither found nor installed, or does not start.
    pub fn redis(folder: &Path) -> Result<Self, ServerFailure> {
        let named = std::env::var_os("WEIR_TEST_REDIS").map(PathBuf::from);
        let binary = named.unwrap_or_else(|| PathBuf::from("redis-server"));
        if !answers(Command::new(&binary).arg("--version")) {
            install("redis-server")?;
        }
        fs::create_dir_all(folder).map_err(|e| cannot("make a folder for Redis", &e))?;
        let port = free_port()?;
        let mut redis = Command::new(binary);
        redis.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ]);
        redis.args(["--appendonly", "no", "--dir"]).arg(folder);
        let child = started(&mut redis, &folder.join("log"))?;
        let mut server = Self {
            child,
            url: format!("redis://127.0.0.1:{port}/"),
            stop: "TERM",
        };
        server.wait(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(server)
    }

    /// Returns the address that a client takes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self, is_up: impl Fn() -> bool) -> Result<(), ServerFailure> {
        for _ in 0..POLLS {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ServerFailure(format!(
                    "the server ended at once, with {status}"
                )));
            }
            if is_up() {
                return Ok(());
            }
            sleep(POLL);
        }
        Err(ServerFailure("the server did not come up".to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked to stop rather than killed: PostgreSQL has children and shared memory to put away.
        let pid = self.child.id().to_string();
        let asked = Command::new("kill")
            .arg(format!("-{}", self.stop))
            .arg(pid)
            .status();
        if !asked.is_ok_and(|status| status.success()) {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}

/// Returns where the newest PostgreSQL's programs are; Debian keeps them off the PATH.
fn postgres_binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok();
    let mut found: Vec<PathBuf> = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file())
    })
}

fn install(package: &str) -> Result<(), ServerFailure> {
    let by_hand = format!("install it by hand: `apt-get install {package}`");
    if !is_root() {
        return Err(ServerFailure(format!(
            "`{package}` is missing and only root may install it; {by_hand}"
        )));
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        // A server that the package starts by itself would be nobody's.
        ran(command.env("RUNLEVEL", "1"))
    };
    let install = ["install", "-y", "--no-install-recommends", package];
    apt(&install)
        .or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
        .map_err(|failure| {
            ServerFailure(format!("`{package}` is missing, and {failure}; {by_hand}"))
        })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn answers(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn ran(command: &mut Command) -> Result<(), ServerFailure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|e| cannot(&format!("run `{name}`"), &e))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    Err(ServerFailure(format!(
        "`{name}` ended with {}: {last}",
        output.status
    )))
}

fn started(command: &mut Command, log: &Path) -> Result<Child, ServerFailure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let log = File::create(log).map_err(|e| cannot("make a log", &e))?;
    let errors = log.try_clone().map_err(|e| cannot("make a log", &e))?;
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command
        .spawn()
        .map_err(|e| cannot(&format!("start `{name}`"), &e))
}

fn free_port() -> Result<u16, ServerFailure> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    Ok(bound.map_err(|e| cannot("find a free port", &e))?.port())
}
