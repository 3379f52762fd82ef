//! Asks a server of this machine how it is: for images without a shell or an HTTP client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long connecting, asking and answering may take, each.
const STEP_MAX: Duration = Duration::from_secs(2);

/// Longest answer that is read, bytes; it says one line.
const ANSWER_MAX_BYTES: u64 = 4_096;

/// Whether the server with this operations listener is ready. Errors with what is wrong.
pub(super) fn ask(ops_listen: SocketAddr) -> Result<(), String> {
    let address = reachable(ops_listen);
    let answer = get(address).map_err(|error| format!("nothing answers on {address}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(_) => Err(format!("not ready: {}", body.trim())),
        None => Err(format!("what answers on {address} is no server of ours")),
    }
}

/// Who listens on all addresses is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, STEP_MAX)?;
    stream.set_read_timeout(Some(STEP_MAX))?;
    stream.set_write_timeout(Some(STEP_MAX))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is said of a server that gives this answer.
    fn said(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // All of it: who closes with something unread takes the answer back.
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") {
                let mut some = [0; 64];
                let read = stream.read(&mut some).unwrap();
                asked.push_str(std::str::from_utf8(&some[..read]).unwrap());
            }
            assert!(asked.starts_with("GET /readyz "), "{asked}");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let said = ask(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()));
        server.join().unwrap();
        said
    }

    #[test]
    fn says_whether_a_server_is_ready() {
        assert_eq!(said("HTTP/1.1 200 OK\r\n\r\nready\n"), Ok(()));
        let not = said("HTTP/1.1 503 Service Unavailable\r\n\r\nstopping\n");
        assert_eq!(not, Err("not ready: stopping".to_owned()));
        assert!(said("220 mail\r\n").is_err());
        let nobody = ask("127.0.0.1:1".parse().unwrap()).unwrap_err();
        assert!(nobody.starts_with("nothing answers on 127.0.0.1:1"), "{nobody}");
    }
}
