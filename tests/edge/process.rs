//! The executable as an operator of machines meets it: how it starts, ends and refuses.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{demo_password, id, request};

/// A process of its own, killed when the test ends.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
    pub operations: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command that must succeed prints.
pub fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn command() -> Command {
    // Where a file may not grow, writing fails, as on a full disk, rather than killing.
    let mut command = Command::new("/bin/sh");
    let run = "trap '' XFSZ; exec \"$0\" \"$@\"";
    command.args(["-c", run, env!("CARGO_BIN_EXE_switchboard")]);
    command.env_clear().stderr(Stdio::piped()).stdout(Stdio::piped());
    // A fault that is planted into the test is planted into its program, too.
    command.envs(std::env::var_os("PLANTED_FAULT").map(|fault| ("PLANTED_FAULT", fault)));
    command
}

pub fn serve(data: &Path) -> Command {
    let mut command = command();
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.toml");
    command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    command.args(["--seed", seed, "--data"]).arg(data);
    command
}

/// A process that is starting, and its log.
pub struct Starting {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Starting {
    pub fn new(mut command: Command) -> Self {
        let mut child = command.env("SWITCHBOARD_LOG_FORMAT", "json").spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until the log has a line of which this is so.
    pub fn until(&mut self, so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.next().expect("the server starts").unwrap();
            let line: Value = serde_json::from_str(&line)
                .unwrap_or_else(|_| panic!("the server says, and ends: {line}"));
            if so(&line) {
                return line;
            }
        }
    }

    /// Waits until it serves, and reads from its log where.
    pub fn ready(mut self) -> Process {
        let ready = self.until(|line| line["message"] == "ready");
        // The rest of the log has to go somewhere.
        let Self { child, lines } = self;
        std::thread::spawn(move || lines.for_each(drop));
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        Process { child, address: address("address"), operations: address("operations") }
    }
}

/// Starts a server on a folder.
pub fn start(data: &Path) -> Process {
    Starting::new(serve(data)).ready()
}

pub fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Whether no thread of it runs any more: a signal has its effect some time after it was sent.
pub fn is_stopped(child: &Child) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    // A name in brackets, which may have any letters, then the state.
    let stopped = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
    let mut files = threads.map(|thread| thread.unwrap().path().join("stat"));
    files.all(|file| std::fs::read_to_string(file).is_ok_and(stopped))
}

/// An access token of a user, and a visitor's token.
pub async fn tokens(address: SocketAddr, login: &str) -> (String, String) {
    let post = async |path: &str, token: &str, body: Value| {
        let body = Some(("application/json", body.to_string()));
        let (_, text) = request(address, "POST", path, token, body).await;
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let log_in = async |login: &str| {
        let body = json!({"login": login, "password": demo_password(login)});
        post("/api/v1/sessions", "", body).await["access_token"].as_str().unwrap().to_owned()
    };
    let path = format!("/api/v1/channels/{}/visitor-tokens", id("channel", "Shop"));
    let visitor = post(&path, &log_in("admin").await, json!({})).await;
    (log_in(login).await, visitor["token"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_killed_process_has_lost_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path());
    let (_, visitor) = tokens(process.address, "anna").await;
    let mut customer = Client::connect(process.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let mut acknowledged = Vec::new();
    for n in 0..20 {
        let text =
            json!({"chat": chat, "client_message_id": format!("m{n}"), "text": format!("{n}")});
        acknowledged.push(customer.call("message.send", text).await.unwrap()["seq"].clone());
    }
    process.child.kill().unwrap();
    process.child.wait().unwrap();

    let process = start(folder.path());
    let mut customer = Client::connect(process.address).await;
    let opened = customer.open(&visitor, json!([])).await.unwrap();
    assert_eq!(opened["chats"][0]["id"], chat, "the same token, the same chat");
    let history = customer.call("chat.history", json!({"chat": chat})).await.unwrap();
    let events = history["events"].as_array().unwrap();
    let messages: Vec<_> = events.iter().filter(|event| event["kind"] == "message").collect();
    let seqs: Vec<_> = messages.iter().map(|event| event["seq"].clone()).collect();
    assert_eq!(seqs, acknowledged);
}

#[tokio::test]
async fn a_process_that_is_told_to_stop_says_so_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path());
    assert_eq!(request(process.operations, "GET", "/readyz", "", None).await.0, 200);
    let (anna, _) = tokens(process.address, "anna").await;
    let mut client = Client::connect(process.address).await;
    client.open(&anna, json!([])).await.unwrap();
    signal(&process.child, "-TERM");
    assert_eq!(client.until_closed().await, 1001);
    let status = tokio::task::spawn_blocking(move || {
        let status = process.child.wait().unwrap();
        (status, process)
    });
    assert_eq!(status.await.unwrap().0.code(), Some(0));
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[server]\nlsiten = \"127.0.0.1:1\"\n[limits]\nconnections = 0\n")
        .unwrap();
    let said = refused(command().args(["config", "check"]).arg(&file));
    assert!(said.contains("wrong.toml:2") && said.contains("did you mean `listen`"), "{said}");
    assert!(said.contains("wrong.toml:4"), "all at once: {said}");
    let said = refused(serve(folder.path()).arg("--config").arg(&file));
    assert!(said.contains("wrong.toml:2"), "{said}");
    let said = refused(serve(folder.path()).args(["--config", "nothing.toml"]));
    assert!(said.contains("nothing.toml") && said.contains("--config"), "{said}");
    let said = refused(serve(folder.path()).env("SWITCHBOARD_LIMITS_CONNECTIONS", "many"));
    assert!(said.contains("SWITCHBOARD_LIMITS_CONNECTIONS"), "{said}");
    let good = command().args(["config", "check", "config/default.toml"]).output().unwrap();
    assert!(good.status.success());

    let damaged = tempfile::tempdir().unwrap();
    std::fs::write(damaged.path().join("switchboard.db"), "this is no database".repeat(500))
        .unwrap();
    let said = refused(&mut serve(damaged.path()));
    assert!(said.contains("backup") || said.contains("another data folder"), "{said}");
    assert!(!said.contains("panicked"));
}

/// The disk fails under a server that runs: it says so and ends, without success.
#[tokio::test]
async fn a_store_that_fails_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path());
    let (_, visitor) = tokens(process.address, "anna").await;
    let mut customer = Client::connect(process.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    // No file may grow any more: what a full disk looks like from inside.
    let pid = process.child.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--fsize=1"]).status();
    if !limited.is_ok_and(|status| status.success()) {
        eprintln!("prlimit is not there: not tested here");
        return;
    }
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    customer.send("chat.open", open).await;
    customer.until_ended().await;
    let status = tokio::task::spawn_blocking(move || {
        let status = process.child.wait().unwrap();
        (status, process)
    });
    assert_eq!(status.await.unwrap().0.code(), Some(1));
}
