//! The built executable, started as a person would start it, and what it leaves behind.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use deploy::Addresses;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long something may take that a test waits for. It ends a test that would never end; no test
/// depends on how long anything really takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ten trials, of which a test needs one.
pub const LONG: &str = r#"
name   = "long"
nodes  = 3
warmup = "500ms"
load   = { rate = 200, keys = 20, reads = 0.5, timeout = "1s" }

[[step]]
id     = "kill"
at     = { after = "leader-elected", plus = "300ms" }
fault  = { kind = "crash", target = "leader" }
for    = "500ms"
repeat = { times = 10, every = "8s" }
"#;

/// One trial, over in a few seconds.
pub const SHORT: &str = r#"
name   = "short"
nodes  = 3
warmup = "1s"
settle = "1s"
load   = { rate = 200, keys = 20, reads = 0.5, timeout = "1s" }

[[step]]
id    = "kill"
at    = { after = "leader-elected", plus = "300ms" }
fault = { kind = "crash", target = "leader" }
for   = "1s"

[expect]
sometimes = ["leader-changed"]
"#;

/// A folder of a test's own.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    /// Writes a file, and says where.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A run directory that is not there yet.
    pub fn out(&self) -> String {
        self.path().join("out").to_str().unwrap().to_owned()
    }
}

/// The harness with these arguments.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the harness to its end.
pub fn harness(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Everything that a process said, for the messages of failed assertions.
pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

pub fn standard_error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A harness at work, whose standard error is read line by line. It is killed when this is dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    pub heard: Vec<String>,
}

impl Running {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (teller, lines) = mpsc::channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| drop(teller.send(line)));
        });
        Self { child, lines, heard: Vec::new() }
    }

    /// Waits for a line that holds this.
    pub fn hear(&mut self, wanted: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.heard.push(line);
                    if self.heard.last().is_some_and(|line| line.contains(wanted)) {
                        return;
                    }
                }
                Err(_) => panic!("'{wanted}' was never said, but: {:#?}", self.heard),
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Waits for its end, and says how it ended and what it said.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.heard.extend(self.lines.iter());
        (status, self.heard.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Processes started by hand, killed when this is dropped.
pub struct ByHand(Vec<Child>);

impl Drop for ByHand {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ended_already = child.kill();
            let _reaped_already = child.wait();
        }
    }
}

impl ByHand {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Starts a replica or a gateway, and waits until it says where it listens.
    pub fn start(&mut self, arguments: &[&str], data: &Path) -> Addresses {
        fs::create_dir_all(data).unwrap();
        let log = fs::File::create(data.with_extension("log")).unwrap();
        let mut command: Command = command(arguments);
        command.arg("--data").arg(data).args(["--gossip-address", "127.0.0.1:0"]);
        command.args(["--client-address", "127.0.0.1:0"]);
        self.0.push(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let file = data.join("address.json");
        wait_until("it listens", || file.is_file());
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }

    /// The number of the process that was started in this place, from 0.
    pub fn process(&self, place: usize) -> u32 {
        self.0[place].id()
    }

    /// Ends a process with a signal, and waits for its end.
    pub fn end(&mut self, place: usize, signal: Signal) -> ExitStatus {
        send(self.process(place), signal);
        self.0[place].wait().unwrap()
    }
}

/// Sends a signal to a process, if that is still there.
pub fn send(process: u32, signal: Signal) {
    let _gone = kill(Pid::from_raw(process.try_into().unwrap()), signal);
}

/// The processes whose command lines speak of this folder, with those lines.
pub fn processes(directory: &Path) -> Vec<(u32, String)> {
    let about = directory.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let lines = numbers.filter_map(|number: u32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).ok()?;
        Some((number, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    lines.filter(|(_, line)| line.contains(about)).collect()
}

/// The replica processes of a run directory.
pub fn replicas(directory: &Path) -> Vec<(u32, String)> {
    let data = directory.join("data");
    processes(&data).into_iter().filter(|(_, line)| line.contains(" replica ")).collect()
}

/// Waits until a condition holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no process speaks of this folder any more. The kernel needs a moment to end one.
pub fn wait_until_nobody_is_left(directory: &Path) {
    wait_until("every process ends", || processes(directory).is_empty());
}

/// A file of JSON.
pub fn json(path: &Path) -> serde_json::Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
