//! What is refused, and in which words.

use super::*;
use crate::auth::{Grant, Place};

fn load(set: &[&str]) -> Result<Config, String> {
    let given = Given { path: None, set: set.iter().map(|&set| set.to_owned()).collect() };
    Config::load(&given).map_err(|error| error.to_string())
}

#[test]
fn a_grant_without_what_it_needs_or_with_what_it_does_not_is_refused_by_key() {
    let table: [(&[&str], &str); 9] = [
        (&["auth.grant=refresh-token", "auth.cache=c"], "auth.refresh_token"),
        (&["auth.grant=refresh-token", "auth.refresh_token=r"], "auth.cache"),
        (&["auth.grant=authorization-code"], "auth.cache"),
        (&["auth.grant=access-key", "auth.access_key_id=a"], "auth.access_key_secret"),
        (&["auth.grant=static"], "auth.token"),
        (&["auth.grant=static", "auth.token=t", "auth.cache=c"], "auth.cache"),
        (&["auth.token=t"], "auth.token"),
        (&["auth.form.grant_type=x"], "auth.form.grant_type"),
        (&["auth.redirect_url=http://example.com:1/"], "auth.redirect_url"),
    ];
    for (set, key) in table {
        let message = load(set).unwrap_err();
        assert!(message.contains(&format!("{key}: ")), "{set:?}: {message}");
    }
}

#[test]
fn only_a_login_with_a_browser_does_without_a_client_secret() {
    let public = ["auth.client_secret=\"\"", "auth.cache=c", "auth.grant=authorization-code"];
    assert!(load(&public).unwrap().auth.account.client.secret.is_none());
    assert!(load(&public[..2]).unwrap_err().contains("auth.client_secret: it is empty"));
}

#[test]
fn scope_and_fields_of_the_form_are_sent() {
    let config = load(&["auth.scope=a b", "auth.form={ audience = \"x\" }", "auth.send=body"]).unwrap();
    let names: Vec<_> = config.auth.account.form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, config.auth.account.client.send), (vec!["scope", "audience"], Place::Body));
    assert!(matches!(config.auth.account.grant, Grant::ClientCredentials));
}

#[test]
fn g10_a_token_is_not_sent_in_the_clear() {
    for key in ["auth.token_url", "auth.refresh_url"] {
        let message = load(&[&format!("{key}=http://login.example.com/oauth/token")]).unwrap_err();
        assert!(message.contains("use https"), "{message}");
    }
}

#[test]
fn g10_neither_what_was_given_nor_what_came_of_it_prints_a_secret() {
    let set =
        ["auth.client_secret=hush", "auth.grant=password", "auth.access_key_id=hush", "auth.access_key_secret=hush"];
    let given = Given { path: None, set: set.map(str::to_owned).to_vec() };
    let printed = format!("{given:?} {:?}", Config::load(&given).unwrap());
    assert!(printed.contains("auth.client_secret") && !printed.contains("hush"), "{printed}");
}
