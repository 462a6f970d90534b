use secrecy::ExposeSecret;

use super::{
    listener::{Reception, receive},
    *,
};

fn expected() -> Expected {
    Expected { redirect: "http://127.0.0.1:8484/callback".parse().unwrap(), state: "s".into() }
}

fn request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nAccept: */*\r\nHost: 127.0.0.1:8484\r\n\r\n").into()
}

fn status(head: &[u8]) -> String {
    match receive(head, &expected()) {
        Reception::Answer(_) => "answer".to_owned(),
        Reception::Forged => "forged".to_owned(),
        Reception::Refused(status, _) => status[..3].to_owned(),
    }
}

#[test]
fn only_the_registered_address_with_the_state_ends_a_login() {
    for (target, expected) in [
        ("/callback?code=c%20d&state=s", "answer"),
        ("/callback?error=access_denied&state=s", "answer"),
        ("/callback", "forged"),
        ("/callback?code=c", "forged"),
        ("/callback?code=c&state=", "forged"),
        ("/callback?code=c&state=t", "forged"),
        ("/callback?code=c&state=t&state=s", "forged"),
        ("/callback?code=c&code=d&state=s", "forged"),
        ("/callback/?code=c&state=s", "404"),
        ("/favicon.ico", "404"),
        ("http://127.0.0.1:8484/callback?code=c&state=s", "404"),
    ] {
        assert_eq!(status(&request(target)), expected, "{target}");
    }
    let head = |text: &str| status(text.as_bytes());
    let answer = "/callback?code=c&state=s HTTP/1.1\r\n";
    assert_eq!(head(&format!("GET {answer}Host: evil.example:8484\r\n\r\n")), "421");
    assert_eq!(head(&format!("GET {answer}Host: 127.0.0.1\r\n\r\n")), "421");
    assert_eq!(head(&format!("GET {answer}\r\n")), "421", "it names no host");
    let twice = "Host: 127.0.0.1:8484\r\nHost: evil.example\r\n\r\n";
    assert_eq!(head(&format!("GET {answer}{twice}")), "421");
    assert_eq!(head(&format!("POST {answer}Host: 127.0.0.1:8484\r\n\r\n")), "405");
    assert_eq!(head("GET /callback?code=c&state=s\r\n\r\n"), "400");
    assert_eq!(head("\u{16}\u{3}\u{1}"), "400", "TLS");
    assert_eq!(status(b"GET /\xff HTTP/1.1\r\n\r\n"), "400");
}

#[test]
fn any_bytes_are_read_without_an_answer() {
    let pieces: [&[u8]; 12] = [
        b"GET ",
        b"/callback",
        b"?state=",
        b"x",
        b" HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"Host: ",
        b"127.0.0.1:8484",
        b"\0",
        b"\xff",
        b"code=c&",
    ];
    for seed in 0..5_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let head: Vec<u8> = (0..rng.usize(0..20))
            .flat_map(|_| pieces[rng.usize(..pieces.len())])
            .copied()
            .collect();
        assert_ne!(status(&head), "answer", "seed {seed}");
    }
}

#[test]
fn an_answer_brings_a_code_or_the_reason_of_a_refusal() {
    let read = |query: &str| {
        let head = request(&format!("/callback?state=s&{query}"));
        let Reception::Answer(fields) = receive(&head, &expected()) else { panic!("{query}") };
        read_code(&fields).map(|code| code.expose_secret().to_owned())
    };
    assert_eq!(read("code=c%20d").unwrap(), "c d");
    for refused in ["", "code=", "error=access_denied", "code=c&error=x"] {
        assert!(matches!(read(refused), Err(LoginError::Refused(_))), "{refused}");
    }
    let error = read("error_description=%1b%5B2Jno%0Aaccess&error=x").unwrap_err().to_string();
    assert!(error.contains("refused: \\u{1b}[2Jno access;"), "{error}");
}
