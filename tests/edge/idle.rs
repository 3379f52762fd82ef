//! Connections that say nothing keep nobody out.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::{World, settings};
use crate::process::{Starting, refused};

/// Two addresses of this machine.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Sooner than silent connections end by themselves: half of the time that a head may take.
const SOON: Duration = Duration::from_secs(5);

async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.into(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// So many connections that say nothing.
async fn silent(from: Ipv4Addr, to: SocketAddr, many: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..many {
        all.push(connect(from, to).await);
    }
    all
}

/// The status of an answer that comes soon.
async fn status(from: Ipv4Addr, to: SocketAddr) -> String {
    let asked = async {
        let mut stream = connect(from, to).await;
        let request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        String::from_utf8_lossy(&status).into_owned()
    };
    timeout(SOON, asked).await.expect("the server answers others")
}

#[tokio::test]
async fn many_silent_connections_of_one_address_stop_nobody() {
    let mut settings = settings();
    settings.limits.connections = 1_000;
    settings.limits.connections_per_address = 500;
    let world = World::with(settings).await;
    let _idle = silent(HERE, world.server.address, 2_500).await;
    assert_eq!(status(ELSEWHERE, world.server.address).await, "HTTP/1.1 200");
    assert_eq!(status(HERE, world.server.address).await, "HTTP/1.1 200");
}

/// A server under a limit of open files, as a shell sets it.
fn limited(ulimit: &str, data: &std::path::Path) -> Command {
    let mut command = Command::new("/bin/sh");
    let run = format!("ulimit {ulimit}; exec \"$0\" \"$@\"");
    command.args(["-c", &run, env!("CARGO_BIN_EXE_switchboard"), "serve"]);
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.toml");
    command.args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    command.args(["--seed", seed, "--data"]).arg(data);
    command.env_clear().stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

#[tokio::test]
async fn a_low_soft_limit_of_files_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    let process = Starting::new(limited("-S -n 200", folder.path())).ready();
    let _idle = silent(HERE, process.address, 400).await;
    assert_eq!(status(ELSEWHERE, process.address).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn where_files_are_few_the_default_is_lowered_and_what_was_chosen_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut chosen = limited("-n 1000", folder.path());
    let said = refused(chosen.env("SWITCHBOARD_LIMITS_CONNECTIONS", "5000"));
    assert!(said.contains("5000") && said.contains("1000 files"), "{said}");
    let mut starting = Starting::new(limited("-n 1000", folder.path()));
    let warned = starting.until(|line| line["files"] == 1_000);
    assert_eq!(warned["sockets"], 500, "{warned}");
    let process = starting.ready();
    let _idle =
        (silent(HERE, process.address, 600).await, silent(ELSEWHERE, process.address, 600).await);
    assert_eq!(status(ELSEWHERE, process.address).await, "HTTP/1.1 200");
}
