//! The listener that the browser returns to.
//!
//! Whatever runs on this machine, and every page that the browser shows, can send requests to it.
//! Only the registered address with the state of this login ends the wait; every other request is
//! refused and forgotten. A connection carries one request and is limited in time and bytes, and
//! there are only so many at once, so no client can hold the listener (G8).

use std::{collections::BTreeMap, io, net::Ipv4Addr, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use url::{Host, Url, form_urlencoded};

/// The most connections at once.
const MOST_CONNECTIONS: usize = 32;
/// How long a connection may last.
const LONGEST_CONNECTION: Duration = Duration::from_secs(3);
/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The longest head of a request, in bytes. The code of some login hosts has thousands.
const LONGEST_HEAD: usize = 32 * 1024;

/// What the browser shows at the end.
const FINAL_PAGE: &str =
    "cxbackfill has received the answer; its terminal shows the result. You can close this window.";
const FORGED_PAGE: &str = "This is not the answer to the login that cxbackfill waits for: it \
    belongs to an older login, or is forged.";

/// The parameters of an answer to this login.
pub(super) type AnswerFields = BTreeMap<String, String>;

/// The address that the browser returns to, and what it must bring.
#[derive(Clone)]
pub(super) struct Expected {
    /// The registered address, with its port.
    pub redirect: Url,
    /// The state of the login.
    pub state: SecretString,
}

/// What a request means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// The answer to this login.
    Answer(AnswerFields),
    /// An answer with another state.
    Forged,
    /// Anything else: the status and the text of the reply.
    Refused(&'static str, &'static str),
}

/// Listens at the address that the browser returns to. Returns that address with its port.
///
/// # Errors
/// If the port is in use.
pub(super) async fn listen(redirect: &Url) -> io::Result<(TcpListener, Url)> {
    let mut redirect = redirect.clone();
    let port = redirect.port().unwrap_or(0);
    let listener = match redirect.host() {
        Some(Host::Ipv6(address)) => TcpListener::bind((address, port)).await,
        Some(Host::Ipv4(address)) => TcpListener::bind((address, port)).await,
        _ => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await,
    }?;
    let port = listener.local_addr()?.port();
    // cannot fail: an http URL can have a port
    let _ = redirect.set_port(Some(port));
    Ok((listener, redirect))
}

/// Waits for the answer to this login, and reports each forged one to `forged`. Ends when it is
/// dropped, with all its connections.
pub(super) async fn receive_answer(
    listener: TcpListener,
    expected: &Expected,
    mut forged: impl FnMut(),
) -> AnswerFields {
    let (sender, mut receptions) = mpsc::channel(MOST_CONNECTIONS);
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let permit = Arc::clone(&permits).acquire_owned();
        tokio::select! {
            Some(reception) = receptions.recv() => match reception {
                Reception::Answer(fields) => return fields,
                _ => forged(),
            },
            Some(_) = connections.join_next() => {}
            accepted = async { (permit.await, listener.accept().await) } => {
                let (Ok(permit), Ok((stream, _))) = accepted else {
                    // there is no descriptor for a connection at present
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let (expected, sender) = (expected.clone(), sender.clone());
                connections.spawn(async move {
                    let reception = timeout(LONGEST_CONNECTION, converse(stream, &expected)).await;
                    drop(permit);
                    if let Ok(Ok(answer)) = reception
                        && !matches!(answer, Reception::Refused(..))
                    {
                        let _ = sender.send(answer).await;
                    }
                });
            }
        }
    }
}

/// Reads one request and replies to it.
async fn converse(mut stream: TcpStream, expected: &Expected) -> io::Result<Reception> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let reception = receive(&head, expected);
    let (status, page) = match &reception {
        Reception::Answer(_) => ("200 OK", FINAL_PAGE),
        Reception::Forged => ("400 Bad Request", FORGED_PAGE),
        Reception::Refused(status, page) => (*status, *page),
    };
    // a text, and never a page: nothing of the request is repeated, and nothing is run
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    let sent = stream.write_all(reply.as_bytes()).await;
    // an answer counts even if the browser does not read its page
    if sent.is_ok() {
        let _ = stream.shutdown().await;
    }
    Ok(reception)
}

/// Reads the head of a request.
pub(super) fn receive(head: &[u8], expected: &Expected) -> Reception {
    let Some(request) = Head::parse(head) else {
        return Reception::Refused("400 Bad Request", "This is not a request.");
    };
    // another name of this machine in the address is a sign of a page that is not ours (DNS
    // rebinding)
    let authority = &expected.redirect[url::Position::BeforeHost..url::Position::AfterPort];
    if request.hosts.len() != 1 || !request.hosts[0].eq_ignore_ascii_case(authority) {
        return Reception::Refused(
            "421 Misdirected Request",
            "This address is not of this listener.",
        );
    }
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    if path != expected.redirect.path() {
        return Reception::Refused("404 Not Found", "There is nothing here.");
    }
    if request.method != "GET" {
        return Reception::Refused("405 Method Not Allowed", "Only GET is allowed here.");
    }
    let mut fields = AnswerFields::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            // two values of one parameter leave open which one counts (RFC 6749, section 3.1)
            return Reception::Forged;
        }
    }
    if fields.get("state").map(String::as_str) != Some(expected.state.expose_secret()) {
        return Reception::Forged;
    }
    Reception::Answer(fields)
}

/// The parts of a request's head that count.
struct Head<'a> {
    method: &'a str,
    target: &'a str,
    /// The values of its Host headers.
    hosts: Vec<&'a str>,
}

impl<'a> Head<'a> {
    /// `None` if it is not the whole head of an HTTP/1 request.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, version) = (first.next()?, first.next()?, first.next()?);
        if !version.starts_with("HTTP/1.") || first.next().is_some() {
            return None;
        }
        let headers = lines.filter_map(|line| line.split_once(':'));
        let hosts = headers.filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        Some(Self { method, target, hosts: hosts.map(|(_, value)| value.trim()).collect() })
    }
}
