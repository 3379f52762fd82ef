//! The CQL server that tests are run against, itself: it starts, answers, hangs, dies and comes
//! back as it is told, and never outlives the tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/cql.rs"]
mod cql;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use cql::Server;

/// A frame of CQL's version 4: the request OPTIONS, with an empty body.
const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];

/// The head of an answer of that version, up to its kind: SUPPORTED.
const SUPPORTED: [u8; 5] = [0x84, 0, 0, 0, 6];

/// How long an answer may take. A server that was paused may be busy for some time after.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// How long no answer is waited for; a process that is stopped never answers.
const SILENCE: Duration = Duration::from_millis(300);

/// How long a server may take to end after its parent has, and how often that is looked at.
const END_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

struct Connection(TcpStream);

impl Connection {
    fn open(address: &str) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    fn ask(&mut self) {
        self.0.write_all(&OPTIONS).unwrap();
    }

    /// The head of the answer and the text of its body.
    fn answer(&mut self) -> ([u8; 5], String) {
        self.0.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        let mut head = [0; 9];
        self.0.read_exact(&mut head).unwrap();
        let [start @ .., a, b, c, d] = head;
        let mut body = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
        self.0.read_exact(&mut body).unwrap();
        (start, String::from_utf8_lossy(&body).into_owned())
    }

    fn hears_nothing(&mut self) -> bool {
        self.0.set_read_timeout(Some(SILENCE)).unwrap();
        let silent = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
        self.0.read(&mut [0]).is_err_and(|error| silent.contains(&error.kind()))
    }
}

fn is_supported(connection: &mut Connection) {
    connection.ask();
    let (head, body) = connection.answer();
    assert_eq!(head, SUPPORTED);
    assert!(body.contains("CQL_VERSION"), "{body}");
}

#[test]
fn cql_is_there_for_everybody() {
    let Some(address) = cql::address() else {
        return cql::skip("cql_is_there_for_everybody");
    };
    is_supported(&mut Connection::open(&address));
    assert_eq!(cql::address(), Some(address), "one for all tests of a process");
}

#[test]
fn cql_hangs_dies_and_comes_back_as_told() {
    let Some(server) = Server::start() else {
        return cql::skip("cql_hangs_dies_and_comes_back_as_told");
    };
    let mut connection = Connection::open(server.address());
    is_supported(&mut connection);

    server.pause();
    connection.ask();
    assert!(connection.hears_nothing(), "it hangs");
    server.resume();
    assert_eq!(connection.answer().0, SUPPORTED, "the answer of before");

    server.pause();
    server.kill();
    assert!(TcpStream::connect(server.address()).is_err(), "it is gone");
    server.start_again();
    is_supported(&mut Connection::open(server.address()));
    server.stop();
    assert!(TcpStream::connect(server.address()).is_err(), "it has stopped");
}

#[test]
fn cql_does_not_outlive_the_process_that_it_is_for() {
    let mut parent = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let Some(server) = Server::start_for(parent.id()) else {
        parent.kill().unwrap();
        parent.wait().unwrap();
        return cql::skip("cql_does_not_outlive_the_process_that_it_is_for");
    };
    is_supported(&mut Connection::open(server.address()));
    // Also one that hangs.
    server.pause();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let looks = END_MAX.as_millis() / LOOK_EVERY.as_millis();
    let gone = (0..looks).any(|_| {
        std::thread::sleep(LOOK_EVERY);
        TcpStream::connect(server.address()).is_err() && !server.folder().exists()
    });
    assert!(gone, "the server and its data are gone");
}
