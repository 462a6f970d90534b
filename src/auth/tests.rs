use http::header::AUTHORIZATION;

use super::*;
use crate::{platform::TOKEN_DIALECT, server_text::ServerText};

fn key() -> AccessKey {
    AccessKey { id: "key id".into(), secret: "key hush".into() }
}

fn credentials(grant: Grant, send: ClientAuthMethod, secret: Option<&str>) -> Credentials {
    let client = ClientCredentials { id: "me".into(), secret: secret.map(Into::into), send };
    let form = vec![("scope".to_owned(), "a b".into()), ("audience".to_owned(), "x".into())];
    Credentials { grant, client, form, token_url: None, refresh_url: None, dialect: &TOKEN_DIALECT }
}

/// The path, the Authorization header and the body of a request.
fn sent(credentials: &Credentials, params: &GrantParams) -> (String, String, String) {
    let endpoint = credentials.endpoint(&"https://login.mypurecloud.ie".parse().unwrap(), params);
    let request = credentials.request(&endpoint, params).unwrap();
    let basic = request.headers().get(AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    (request.uri().path().to_owned(), basic.to_owned(), body)
}

#[test]
fn every_grant_has_its_token_request() {
    let basic = format!("Basic {}", STANDARD.encode("me:hush"));
    let fields = "&scope=a+b&audience=x";
    let form = |credentials: Credentials, params: GrantParams| sent(&credentials, &params);
    let client = |send| credentials(Grant::ClientCredentials, send, Some("hush"));
    let expected =
        ("/oauth/token".into(), basic.clone(), format!("grant_type=client_credentials{fields}"));
    assert_eq!(form(client(ClientAuthMethod::Basic), GrantParams::Credentials), expected);
    let body = format!("grant_type=client_credentials&client_id=me&client_secret=hush{fields}");
    assert_eq!(
        form(client(ClientAuthMethod::Body), GrantParams::Credentials),
        ("/oauth/token".into(), String::new(), body)
    );
    let body = format!("grant_type=refresh_token&refresh_token=r{fields}");
    assert_eq!(form(client(ClientAuthMethod::Basic), GrantParams::Refresh(&"r".into())).2, body);
    let cxone = credentials(Grant::Password(key()), ClientAuthMethod::Basic, Some("hush"));
    let body = format!("grant_type=password&username=key+id&password=key+hush{fields}");
    assert_eq!(form(cxone, GrantParams::Credentials), ("/auth/token".into(), basic, body));
}

#[test]
fn an_access_key_is_sent_as_json_and_has_its_own_refresh_endpoint() {
    let credentials = credentials(Grant::AccessKey(key()), ClientAuthMethod::Basic, None);
    let (path, basic, body) = sent(&credentials, &GrantParams::Credentials);
    assert_eq!((path.as_str(), basic.as_str()), ("/authentication/v1/token/access-key", ""));
    assert_eq!(body, r#"{"accessKeyId":"key id","accessKeySecret":"key hush"}"#);
    let (path, _, body) = sent(&credentials, &GrantParams::Refresh(&"r".into()));
    assert_eq!(
        (path.as_str(), body.as_str()),
        ("/public/authentication/v1/refresh", r#"{"token":"r"}"#)
    );
}

#[test]
fn a_public_client_sends_its_id_and_its_verifier() {
    let credentials = credentials(Grant::AuthorizationCode, ClientAuthMethod::Basic, None);
    let redirect = "http://127.0.0.1:8484/callback".parse().unwrap();
    let code = pkce::AuthorizationCode { code: "c".into(), verifier: "v".into(), redirect };
    let (_, basic, body) = sent(&credentials, &GrantParams::AuthorizationCode(&code));
    assert_eq!(basic, "");
    let redirect = "redirect_uri=http%3A%2F%2F127.0.0.1%3A8484%2Fcallback";
    assert!(body.starts_with(&format!(
        "grant_type=authorization_code&code=c&{redirect}&code_verifier=v&client_id=me"
    )));
}

#[test]
fn a_configured_endpoint_replaces_that_of_the_platform() {
    let mut credentials =
        credentials(Grant::ClientCredentials, ClientAuthMethod::Basic, Some("hush"));
    credentials.token_url = Some("https://api.mypurecloud.ie/oauth/token".parse().unwrap());
    let (login, token) = ("https://login.mypurecloud.ie".parse().unwrap(), "r".into());
    let at = |credentials: &Credentials, params| {
        credentials.endpoint(&login, &params).host_str().unwrap().to_owned()
    };
    assert_eq!(at(&credentials, GrantParams::Credentials), "api.mypurecloud.ie");
    assert_eq!(at(&credentials, GrantParams::Refresh(&token)), "api.mypurecloud.ie");
    credentials.refresh_url = Some("https://refresh.example/r".parse().unwrap());
    assert_eq!(at(&credentials, GrantParams::Refresh(&token)), "refresh.example");
    assert_eq!(at(&credentials, GrantParams::Credentials), "api.mypurecloud.ie");
}

#[test]
fn g10_credentials_and_their_headers_do_not_print_secrets() {
    let all = [
        credentials(Grant::Password(key()), ClientAuthMethod::Basic, Some("hush")),
        credentials(Grant::RefreshToken("hush".into()), ClientAuthMethod::Basic, Some("hush")),
    ];
    for credentials in all {
        let endpoint = "http://127.0.0.1/oauth/token".parse().unwrap();
        let request =
            credentials.request(&endpoint, &GrantParams::Refresh(&"hush".into())).unwrap();
        let printed = format!(
            "{:?} {credentials:?} {:?}",
            request.headers(),
            GrantParams::Refresh(&"hush".into())
        );
        assert!(
            !printed.contains("hush") && !printed.contains(&STANDARD.encode("me:hush")),
            "{printed}"
        );
    }
}

#[test]
fn g10_a_basic_credential_is_hidden_in_every_encoding() {
    let secret = "hush-a-basic-one";
    let credentials = credentials(Grant::ClientCredentials, ClientAuthMethod::Basic, Some(secret));
    credentials.protect();
    let credential = STANDARD.encode(format!("me:{secret}"));
    let hex: String = credential.bytes().map(|byte| format!("{byte:02x}")).collect();
    for quoted in
        [STANDARD.encode(&credential), STANDARD.encode(format!("Basic {credential}")), hex]
    {
        let text = ServerText::from(&*format!("who is {quoted}?")).to_string();
        assert!(text.contains("[secret]") && !text.contains(&quoted), "{quoted}: {text}");
    }
}
