//! Where tokens come from: grants, refresh tokens and the cache, against the sandbox on paused
//! time.

use cxbackfill::testing::Settings;
use secrecy::ExposeSecret;
use tokio::time::sleep;

use crate::common::{
    delayed_region::{DelayedRegion, get_token, refresh_token, token_actor, with_cache},
    environment::on_virtual_time,
};

#[test]
fn every_grant_gives_a_token_and_another_when_that_is_rejected() {
    let key = ["auth.access_key_id=k", "auth.access_key_secret=s"];
    let grants: [&[&str]; 5] = [
        &["auth.send=body", "auth.scope=x", "auth.form.audience=y"],
        &["auth.grant=password", key[0], key[1]],
        &["auth.grant=password", key[0], key[1], "auth.send=body"],
        &["auth.grant=access-key", key[0], key[1]],
        &["auth.token_url=https://api.sandbox.example/oauth/token"],
    ];
    for set in grants {
        on_virtual_time(async {
            let platform = DelayedRegion::new(Settings::default());
            let tokens = token_actor(&platform, set);
            for generation in 1..4 {
                let token = get_token(&tokens, Some(generation - 1)).await.unwrap();
                assert_eq!(token.generation, generation, "{set:?}");
            }
            assert_eq!(platform.token_requests(), [200, 200, 200], "{set:?}");
        });
    }
}

#[test]
fn a_rejected_refresh_token_falls_back_to_the_grant() {
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings { refresh_tokens: true, ..Settings::default() });
        let tokens = token_actor(&platform, &[]);
        get_token(&tokens, None).await.unwrap();
        let rejected = r#"{"error":"invalid_grant"}"#;
        platform.outages.lock().unwrap().push((400, rejected));
        assert_eq!(get_token(&tokens, Some(1)).await.unwrap().generation, 2);
        assert_eq!(platform.token_requests(), [200, 400, 200]);
    });
}

#[test]
fn a_static_token_is_used_until_it_is_rejected() {
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings::default());
        let tokens = token_actor(&platform, &["auth.grant=static", "auth.token=given"]);
        assert_eq!(get_token(&tokens, None).await.unwrap().secret.expose_secret(), "given");
        let fault = get_token(&tokens, Some(1)).await.unwrap_err();
        assert!(fault.permanent && fault.advice.contains("auth.token"), "{fault}");
        assert_eq!(platform.token_requests(), [0; 0]);
    });
}

#[test]
fn a_refresh_token_rotates_from_run_to_run() {
    let folder = tempfile::tempdir().unwrap();
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings::default());
        let set = with_cache(folder.path(), &refresh_token(&platform).await);
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        for run in 0..3 {
            let tokens = token_actor(&platform, &set);
            let first = get_token(&tokens, None).await.unwrap();
            let second = get_token(&tokens, Some(1)).await.unwrap();
            assert_ne!(first.secret.expose_secret(), second.secret.expose_secret(), "run {run}");
        }
        // the second and third run begin with the token that the one before left
        assert_eq!(platform.token_requests(), [200; 5]);
    });
}

#[test]
fn two_processes_do_not_use_one_refresh_token_at_once() {
    let folder = tempfile::tempdir().unwrap();
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings::default());
        let set = with_cache(folder.path(), &refresh_token(&platform).await);
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        let (one, two) = (token_actor(&platform, &set), token_actor(&platform, &set));
        let (first, second) = tokio::join!(get_token(&one, None), get_token(&two, None));
        let fault = second.unwrap_err();
        assert!(!fault.permanent && fault.reason.contains("another process"), "{fault}");
        sleep(fault.wait).await;
        let second = get_token(&two, None).await.unwrap();
        assert_eq!(first.unwrap().secret.expose_secret(), second.secret.expose_secret());
        assert_eq!(platform.token_requests(), [200, 200], "one for the user's login, one for both");
    });
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_can_read_or_that_cannot_be_written_costs_no_token() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "{}").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings::default());
        let exposed =
            get_token(&token_actor(&platform, &[&format!("auth.cache={}", path.display())]), None)
                .await
                .unwrap_err();
        assert!(exposed.permanent && exposed.reason.contains("chmod 600"), "{exposed}");
        let missing = folder.path().join("none/tokens");
        let missing = get_token(
            &token_actor(&platform, &[&format!("auth.cache={}", missing.display())]),
            None,
        )
        .await
        .unwrap_err();
        assert!(missing.permanent && missing.reason.contains("none"), "{missing}");
        assert_eq!(platform.token_requests(), [0; 0]);
    });
}

#[test]
fn g10_secrets_that_the_server_quotes_are_redacted() {
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings::default());
        let quoting =
            r#"{"error":"invalid_client","error_description":"no client with secret hush-hush"}"#;
        platform.outages.lock().unwrap().push((400, quoting));
        let fault = get_token(&token_actor(&platform, &["auth.client_secret=hush-hush"]), None)
            .await
            .unwrap_err();
        assert!(
            fault.reason.contains("[secret]") && !fault.reason.contains("hush-hush"),
            "{fault}"
        );
    });
}
