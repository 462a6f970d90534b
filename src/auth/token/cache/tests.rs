use super::*;

const RENEWAL: RenewalPolicy = RenewalPolicy { ahead: Duration::from_secs(60), at: 0.8 };

fn cache(folder: &Path, host: &str, client: &str) -> Cache {
    Cache::new(folder.join("tokens"), &format!("https://{host}").parse().unwrap(), client)
}

fn entry(token: &str) -> CacheEntry {
    let lifetime = Some(Duration::from_secs(3_600));
    let response =
        TokenResponse { secret: token.into(), lifetime, refresh: Some("r".into()), id_token: None };
    CacheEntry::new(&response, Timestamp::UNIX_EPOCH, None)
}

fn store(cache: &Cache, token: &str) {
    cache.lock().unwrap().unwrap().write(&entry(token)).unwrap();
}

fn stored(cache: &Cache) -> Option<String> {
    cache
        .lock()
        .unwrap()
        .unwrap()
        .read()
        .unwrap()
        .map(|entry| entry.token.expose_secret().to_owned())
}

#[test]
fn accounts_of_other_hosts_and_clients_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let caches = [("login.a", "me"), ("login.b", "me"), ("login.a", "you")]
        .map(|(h, c)| cache(folder.path(), h, c));
    for (number, cache) in caches.iter().enumerate() {
        assert_eq!(stored(cache), None);
        store(cache, &number.to_string());
    }
    for (number, cache) in caches.iter().enumerate() {
        assert_eq!(stored(cache), Some(number.to_string()));
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_file_and_a_file_that_others_can_read_is_rejected() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), "login.a", "me");
    store(&cache, "t");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            file.path()
        );
    }
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&cache.path, std::fs::Permissions::from_mode(mode)).unwrap();
        let message = cache.lock().unwrap().unwrap().read().unwrap_err().to_string();
        assert!(
            message.contains(&format!("mode {mode:04o}")) && message.contains("chmod 600"),
            "{message}"
        );
    }
}

#[test]
fn an_incomplete_or_foreign_file_is_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), "login.a", "me");
    store(&cache, "t");
    let whole = std::fs::read_to_string(&cache.path).unwrap();
    for text in [&whole[..whole.len() / 2], "", "{}", "{\"cxbackfill_tokens\":2,\"accounts\":{}}"] {
        let mut file = File::create(&cache.path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        assert_eq!(stored(&cache), None, "{text}");
        assert_eq!(std::fs::read_to_string(folder.path().join("tokens.aside")).unwrap(), text);
        store(&cache, "new");
        assert_eq!(stored(&cache).as_deref(), Some("new"));
    }
}

#[test]
fn a_second_process_gets_the_lock_when_the_first_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), "login.a", "me");
    let first = cache.lock().unwrap().unwrap();
    assert!(cache.lock().unwrap().is_none());
    first.write(&entry("t")).unwrap();
    assert!(cache.lock().unwrap().is_some());
}

#[test]
fn an_interrupted_write_leaves_the_old_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), "login.a", "me");
    store(&cache, "old");
    let mut interrupted = cache.lock().unwrap().unwrap();
    interrupted.new_file.write_all(b"{\"cxback").unwrap();
    drop(interrupted);
    assert_eq!(stored(&cache).as_deref(), Some("old"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the file and its lock");
}

#[test]
fn the_error_names_a_missing_folder() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    let message = cache(&missing, "login.a", "me").lock().err().unwrap().to_string();
    assert!(message.contains(missing.to_str().unwrap()), "{message}");
}

#[test]
fn a_cached_token_is_used_until_it_is_due_for_renewal() {
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let entry = entry("t");
    assert_eq!(entry.lifetime_left(at(1_800), RENEWAL), Some(Some(Duration::from_secs(1_800))));
    assert_eq!(entry.lifetime_left(at(3_540), RENEWAL), None);
    assert_eq!(entry.lifetime_left(at(-1), RENEWAL), None, "a clock that was set back");
}

#[test]
fn another_configured_refresh_token_replaces_the_cached_tokens() {
    let response =
        TokenResponse { secret: "t".into(), lifetime: None, refresh: None, id_token: None };
    let entry = CacheEntry::new(&response, Timestamp::UNIX_EPOCH, Some(&"first".into()));
    assert!(entry.comes_from(Some(&"first".into())));
    assert!(!entry.comes_from(Some(&"second".into())));
    assert!(!serde_json::to_string(&entry).unwrap().contains("first"));
}

#[cfg(unix)]
#[test]
fn neither_the_cache_nor_its_lock_is_followed_through_a_symbolic_link() {
    for name in ["tokens", "tokens.lock"] {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(name)).unwrap();
        let cache = cache(folder.path(), "login.a", "me");
        let read = cache.lock().and_then(|lock| lock.unwrap().read());
        let error = read.unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is a symbolic link, which is not")), "{error}");
        assert!(!elsewhere.exists());
    }
}
