//! Clients and their access tokens, refresh tokens and authorization codes. The last two can be
//! used once.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::sandbox::{Settings, limits::Meter, rng::Rng};

/// How long an authorization code is valid.
const CODE_LIFETIME: Duration = Duration::from_secs(300);

/// The tokens that follow from one login. They are revoked together.
pub(super) type TokenFamily = u64;

/// A client that has been given a token.
#[derive(Debug, Default)]
pub(super) struct RegisteredClient {
    /// Valid tokens, oldest first.
    tokens: VecDeque<IssuedToken>,
    pub(super) meter: Meter,
}

#[derive(Debug)]
struct IssuedToken {
    text: String,
    expires: Duration,
    family: Option<TokenFamily>,
}

#[derive(Debug)]
struct RefreshToken {
    client: String,
    family: TokenFamily,
    used: bool,
}

/// An authorization code and the request it was issued for.
#[derive(Debug)]
pub(super) struct IssuedCode {
    pub(super) client: String,
    pub(super) redirect: String,
    /// The PKCE code challenge. Empty if the client sent none.
    pub(super) challenge: String,
    expires: Duration,
    /// The tokens it was exchanged for. `None` until then.
    family: Option<TokenFamily>,
}

/// The clients by their ids, and everything that was issued.
#[derive(Debug, Default)]
pub(super) struct Clients {
    by_id: BTreeMap<String, RegisteredClient>,
    refresh: BTreeMap<String, RefreshToken>,
    codes: BTreeMap<String, IssuedCode>,
    families: TokenFamily,
    issued: u64,
    /// The number of scheduled revocations so far.
    revocations: u128,
}

impl Clients {
    /// Issues an access token to `client`. If the client then has more than `max_tokens` valid
    /// ones, its oldest is revoked.
    pub(super) fn issue(
        &mut self,
        settings: &Settings,
        client: &str,
        family: Option<TokenFamily>,
        now: Duration,
    ) -> String {
        self.revoke_on_schedule(settings, now);
        let text = self.text(settings);
        let tokens = &mut self.by_id.entry(client.to_owned()).or_default().tokens;
        tokens.push_back(IssuedToken {
            text: text.clone(),
            expires: now + settings.token_lifetime,
            family,
        });
        tokens.retain(|token| now < token.expires);
        while tokens.len() > settings.max_tokens.max(1) as usize {
            tokens.pop_front();
        }
        text
    }

    /// The id and state of the client that holds this valid token. `None` if nobody does.
    pub(super) fn holder(
        &mut self,
        settings: &Settings,
        token: &str,
        now: Duration,
    ) -> Option<(&str, &mut RegisteredClient)> {
        self.revoke_on_schedule(settings, now);
        let is_holder = |client: &RegisteredClient| {
            client.tokens.iter().any(|held| held.text == token && now < held.expires)
        };
        self.by_id
            .iter_mut()
            .find(|(_, client)| is_holder(client))
            .map(|(id, client)| (id.as_str(), client))
    }

    /// A family without tokens.
    pub(super) fn family(&mut self) -> TokenFamily {
        self.families += 1;
        self.families
    }

    /// Issues a refresh token of a family.
    pub(super) fn refresh_token(
        &mut self,
        settings: &Settings,
        client: &str,
        family: TokenFamily,
    ) -> String {
        let text = self.text(settings);
        self.refresh
            .insert(text.clone(), RefreshToken { client: client.to_owned(), family, used: false });
        text
    }

    /// Uses a refresh token. One that was used before may have been stolen: its whole family is
    /// revoked.
    pub(super) fn use_refresh_token(
        &mut self,
        token: &str,
        client: Option<&str>,
    ) -> Option<(String, TokenFamily)> {
        let held = self.refresh.get_mut(token)?;
        if client.is_some_and(|client| client != held.client) {
            return None;
        }
        let (owner, family) = (held.client.clone(), held.family);
        if std::mem::replace(&mut held.used, true) {
            self.revoke(family);
            return None;
        }
        Some((owner, family))
    }

    /// Issues an authorization code.
    pub(super) fn code(
        &mut self,
        settings: &Settings,
        now: Duration,
        [client, redirect, challenge]: [String; 3],
    ) -> String {
        let text = self.text(settings);
        let code =
            IssuedCode { client, redirect, challenge, expires: now + CODE_LIFETIME, family: None };
        self.codes.insert(text.clone(), code);
        text
    }

    /// Exchanges a code if it `matches` the request. If it was exchanged before, the tokens of that
    /// exchange are revoked.
    pub(super) fn exchange_code(
        &mut self,
        code: &str,
        now: Duration,
        matches: impl Fn(&IssuedCode) -> bool,
    ) -> Option<(String, TokenFamily)> {
        let held = self.codes.get(code).filter(|held| now < held.expires && matches(held))?;
        if let Some(family) = held.family {
            self.revoke(family);
            return None;
        }
        let (client, family) = (held.client.clone(), self.family());
        self.codes.get_mut(code)?.family = Some(family);
        Some((client, family))
    }

    fn revoke(&mut self, family: TokenFamily) {
        for held in self.refresh.values_mut().filter(|held| held.family == family) {
            held.used = true;
        }
        for client in self.by_id.values_mut() {
            client.tokens.retain(|token| token.family != Some(family));
        }
    }

    /// Revokes all access tokens every `revoke_every`, but no refresh tokens or codes.
    fn revoke_on_schedule(&mut self, settings: &Settings, now: Duration) {
        let due = now.as_nanos().checked_div(settings.revoke_every.as_nanos()).unwrap_or(0);
        if due > self.revocations {
            self.revocations = due;
            for client in self.by_id.values_mut() {
                client.tokens.clear();
            }
        }
    }

    fn text(&mut self, settings: &Settings) -> String {
        self.issued += 1;
        let mut rng = Rng::new([settings.seed, 0x70ce, self.issued, 0]);
        let bytes: Vec<u8> = (0..8).flat_map(|_| rng.roll().to_be_bytes()).collect();
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { revoke_every: Duration::from_secs(100), ..Settings::default() }
    }

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn a_refresh_token_that_is_used_twice_revokes_its_family() {
        let (settings, mut clients) = (settings(), Clients::default());
        let (family, other) = (clients.family(), clients.family());
        let first = clients.refresh_token(&settings, "me", family);
        let access = clients.issue(&settings, "me", Some(family), NOW);
        let foreign = clients.issue(&settings, "me", Some(other), NOW);
        assert_eq!(clients.use_refresh_token(&first, Some("you")), None, "another client's");
        assert_eq!(clients.use_refresh_token(&first, Some("me")), Some(("me".to_owned(), family)));
        let second = clients.refresh_token(&settings, "me", family);
        assert_eq!(clients.use_refresh_token(&first, Some("me")), None);
        assert_eq!(clients.use_refresh_token(&second, Some("me")), None, "it may be a thief's");
        assert!(clients.holder(&settings, &access, NOW).is_none());
        assert!(clients.holder(&settings, &foreign, NOW).is_some());
    }

    #[test]
    fn a_code_is_valid_once_for_its_client_and_for_five_minutes() {
        let (settings, mut clients) = (settings(), Clients::default());
        let mut code =
            || clients.code(&settings, NOW, ["me", "http://x/", "hash"].map(str::to_owned));
        let (one, two) = (code(), code());
        assert_eq!(clients.exchange_code(&one, NOW, |_| false), None);
        let (_, family) = clients.exchange_code(&one, NOW, |code| code.client == "me").unwrap();
        let access = clients.issue(&settings, "me", Some(family), NOW);
        assert_eq!(clients.exchange_code(&one, NOW, |_| true), None);
        assert!(clients.holder(&settings, &access, NOW).is_none(), "what it gave is revoked");
        assert_eq!(clients.exchange_code(&two, NOW + CODE_LIFETIME, |_| true), None);
    }

    #[test]
    fn access_tokens_are_revoked_on_schedule_and_refresh_tokens_are_not() {
        let (settings, mut clients) = (settings(), Clients::default());
        let family = clients.family();
        let (access, refresh) = (
            clients.issue(&settings, "me", None, NOW),
            clients.refresh_token(&settings, "me", family),
        );
        assert!(clients.holder(&settings, &access, Duration::from_secs(99)).is_some());
        assert!(clients.holder(&settings, &access, Duration::from_secs(100)).is_none());
        let next = clients.issue(&settings, "me", None, Duration::from_secs(101));
        assert!(clients.holder(&settings, &next, Duration::from_secs(102)).is_some());
        assert!(clients.use_refresh_token(&refresh, Some("me")).is_some());
    }
}
