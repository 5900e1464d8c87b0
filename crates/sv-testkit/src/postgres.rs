//! A PostgreSQL server in a temporary folder, reached by a socket in it and by nothing else.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The password of the user `sv`.
pub const PASSWORD: &str = "Kolibri/17";

/// It ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
}

impl Server {
    /// A server of its own. `None`, with a line that says so, where Debian's package `postgresql` is not installed.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: PostgreSQL is not installed");
            return None;
        };
        let server = Self { folder: tempfile::tempdir().unwrap(), programs };
        std::fs::write(server.path("password"), PASSWORD).unwrap();
        if is_root() {
            // The server refuses to run as root.
            let of_postgres = |what| number_of(&[what, "postgres"]);
            for path in [server.folder.path(), &server.path("password")] {
                chown(path, Some(of_postgres("-u")), Some(of_postgres("-g"))).unwrap();
            }
        }
        let (data, password) = (server.path("data"), server.path("password"));
        let mut initdb = server.program("initdb");
        initdb.args(["--username=sv", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        initdb.arg("--no-sync").arg("--pwfile").arg(password).arg("--pgdata").arg(data);
        run(&mut initdb).unwrap();
        server.up();
        Some(server)
    }

    /// Starts the server and waits until it takes connections.
    pub fn up(&self) {
        // Right after a kill the kernel may not have cleared all away: then the server refuses.
        let tried = (0..20).map(|_| {
            let sockets = format!("-k {} -c listen_addresses=''", self.folder.path().display());
            run(self.control().args(["--wait", "--timeout=60", "--options", &sockets, "start"]))
        });
        let mut refused = None;
        for result in tried {
            match result {
                Ok(()) => return,
                Err(why) => refused = Some(why),
            }
        }
        panic!("{refused:?}\n{}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    /// Kills the server and what it has started, as a power cut would.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    /// Sends a signal to the server, then to its children; alone it could not start them again.
    pub fn signal(&self, signal: &str) {
        let text = std::fs::read_to_string(self.path("data/postmaster.pid")).unwrap();
        let first = text.lines().next().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
        let send = |process: &str| run(Command::new("sh").args(["-c", "kill -$0 $1", signal, process]));
        send(first).unwrap();
        for child in children.unwrap_or_default().split_whitespace() {
            // Some have noticed already, and are gone.
            let _ = send(child);
        }
    }

    /// The address, with this password.
    pub fn url(&self, password: &str) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://sv:{}@{socket}/postgres", password.replace('/', "%2F"))
    }

    /// What the server answers to one question, as `psql` prints it.
    pub fn ask(&self, sql: &str) -> String {
        let mut psql = self.program("psql");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", sql]).arg(self.url(PASSWORD));
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn control(&self) -> Command {
        let mut control = self.program("pg_ctl");
        control.arg("--pgdata").arg(self.path("data")).arg("--log").arg(self.path("log"));
        control
    }

    /// A program of the server's, as somebody who is not root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = run(self.control().args(["--wait", "--mode=immediate", "stop"]));
    }
}

/// Where Debian puts the newest version, or a folder of `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let has = |folder: &Path, name| folder.join(name).is_file();
    folders.into_iter().find(|folder| has(folder, "initdb") && has(folder, "pg_ctl"))
}

fn is_root() -> bool {
    number_of(&["-u"]) == 0
}

fn number_of(args: &[&str]) -> u32 {
    let output = Command::new("id").args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = [output.stdout, output.stderr].concat();
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&said).into_owned())
}
