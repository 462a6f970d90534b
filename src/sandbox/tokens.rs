//! Clients, their tokens, and what gives new ones: refresh tokens and codes, each good once.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::sandbox::{Settings, limits::Meter, rng::Rng};

/// How long a code may be traded in.
const CODE_LIFETIME: Duration = Duration::from_secs(300);

/// What came of one login: its refresh tokens follow one another, and die together.
pub(super) type TokenFamily = u64;

/// A client that has been given a token.
#[derive(Debug, Default)]
pub(super) struct RegisteredClient {
    /// Oldest first.
    tokens: VecDeque<Token>,
    pub(super) meter: Meter,
}

#[derive(Debug)]
struct Token {
    text: String,
    expires: Duration,
    family: Option<TokenFamily>,
}

#[derive(Debug)]
struct Refresh {
    client: String,
    family: TokenFamily,
    spent: bool,
}

/// A code that a browser brings back.
#[derive(Debug)]
pub(super) struct IssuedCode {
    pub(super) client: String,
    pub(super) redirect: String,
    /// The hash of the verifier.
    pub(super) challenge: String,
    expires: Duration,
    /// What it was traded for.
    family: Option<TokenFamily>,
}

/// The clients by their ids, and everything that was handed out.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: BTreeMap<String, RegisteredClient>,
    refresh: BTreeMap<String, Refresh>,
    codes: BTreeMap<String, IssuedCode>,
    families: TokenFamily,
    minted: u64,
    /// Revocations that are past.
    revocations: u128,
}

impl Clients {
    /// A new token for a client: past `max_tokens` live ones the oldest is no longer valid.
    pub(super) fn mint(
        &mut self,
        settings: &Settings,
        client: &str,
        family: Option<TokenFamily>,
        now: Duration,
    ) -> String {
        self.revoke_on_schedule(settings, now);
        let text = self.text(settings);
        let tokens = &mut self.known.entry(client.to_owned()).or_default().tokens;
        tokens.push_back(Token {
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

    /// The client, and its id, whose live token this is.
    pub(super) fn holder(
        &mut self,
        settings: &Settings,
        token: &str,
        now: Duration,
    ) -> Option<(&str, &mut RegisteredClient)> {
        self.revoke_on_schedule(settings, now);
        let valid = |client: &RegisteredClient| {
            client.tokens.iter().any(|held| held.text == token && now < held.expires)
        };
        self.known
            .iter_mut()
            .find(|(_, client)| valid(client))
            .map(|(id, client)| (id.as_str(), client))
    }

    /// A family that nothing belongs to yet.
    pub(super) fn family(&mut self) -> TokenFamily {
        self.families += 1;
        self.families
    }

    /// A new refresh token of a family.
    pub(super) fn refresh_token(
        &mut self,
        settings: &Settings,
        client: &str,
        family: TokenFamily,
    ) -> String {
        let text = self.text(settings);
        self.refresh
            .insert(text.clone(), Refresh { client: client.to_owned(), family, spent: false });
        text
    }

    /// Spends a refresh token. One that was spent before has been stolen, for all that the platform
    /// can know: its whole family dies.
    pub(super) fn spend(
        &mut self,
        token: &str,
        client: Option<&str>,
    ) -> Option<(String, TokenFamily)> {
        let held = self.refresh.get_mut(token)?;
        if client.is_some_and(|client| client != held.client) {
            return None;
        }
        let (owner, family) = (held.client.clone(), held.family);
        if std::mem::replace(&mut held.spent, true) {
            self.revoke(family);
            return None;
        }
        Some((owner, family))
    }

    /// A code for a client that has sent its user here.
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

    /// Trades a code in, if `fits` says so. One that was traded before takes what it was traded for
    /// with it.
    pub(super) fn exchange_code(
        &mut self,
        code: &str,
        now: Duration,
        fits: impl Fn(&IssuedCode) -> bool,
    ) -> Option<(String, TokenFamily)> {
        let held = self.codes.get(code).filter(|held| now < held.expires && fits(held))?;
        if let Some(family) = held.family {
            self.revoke(family);
            return None;
        }
        let (client, family) = (held.client.clone(), self.family());
        self.codes.get_mut(code)?.family = Some(family);
        Some((client, family))
    }

    fn revoke(&mut self, family: TokenFamily) {
        self.refresh
            .values_mut()
            .filter(|held| held.family == family)
            .for_each(|held| held.spent = true);
        for client in self.known.values_mut() {
            client.tokens.retain(|token| token.family != Some(family));
        }
    }

    /// Every `revoke_every` all access tokens die; what gives new ones does not.
    fn revoke_on_schedule(&mut self, settings: &Settings, now: Duration) {
        let due = now.as_nanos().checked_div(settings.revoke_every.as_nanos()).unwrap_or(0);
        if due > self.revocations {
            self.revocations = due;
            self.known.values_mut().for_each(|client| client.tokens.clear());
        }
    }

    fn text(&mut self, settings: &Settings) -> String {
        self.minted += 1;
        let mut rng = Rng::new([settings.seed, 0x70ce, self.minted, 0]);
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
    fn a_refresh_token_that_is_used_twice_takes_its_family_with_it() {
        let (settings, mut clients) = (settings(), Clients::default());
        let (family, other) = (clients.family(), clients.family());
        let first = clients.refresh_token(&settings, "me", family);
        let access = clients.mint(&settings, "me", Some(family), NOW);
        let foreign = clients.mint(&settings, "me", Some(other), NOW);
        assert_eq!(clients.spend(&first, Some("you")), None, "another client's");
        assert_eq!(clients.spend(&first, Some("me")), Some(("me".to_owned(), family)));
        let second = clients.refresh_token(&settings, "me", family);
        assert_eq!(clients.spend(&first, Some("me")), None);
        assert_eq!(
            clients.spend(&second, Some("me")),
            None,
            "the thief's or the owner's, nobody knows"
        );
        assert!(clients.holder(&settings, &access, NOW).is_none());
        assert!(clients.holder(&settings, &foreign, NOW).is_some());
    }

    #[test]
    fn a_code_is_good_once_for_its_client_and_for_five_minutes() {
        let (settings, mut clients) = (settings(), Clients::default());
        let mut code =
            || clients.code(&settings, NOW, ["me", "http://x/", "hash"].map(str::to_owned));
        let (one, two) = (code(), code());
        assert_eq!(clients.exchange_code(&one, NOW, |_| false), None);
        let (_, family) = clients.exchange_code(&one, NOW, |code| code.client == "me").unwrap();
        let access = clients.mint(&settings, "me", Some(family), NOW);
        assert_eq!(clients.exchange_code(&one, NOW, |_| true), None);
        assert!(clients.holder(&settings, &access, NOW).is_none(), "what it gave is revoked");
        assert_eq!(clients.exchange_code(&two, NOW + CODE_LIFETIME, |_| true), None);
    }

    #[test]
    fn access_tokens_die_on_schedule_and_refresh_tokens_do_not() {
        let (settings, mut clients) = (settings(), Clients::default());
        let family = clients.family();
        let (access, refresh) = (
            clients.mint(&settings, "me", None, NOW),
            clients.refresh_token(&settings, "me", family),
        );
        assert!(clients.holder(&settings, &access, Duration::from_secs(99)).is_some());
        assert!(clients.holder(&settings, &access, Duration::from_secs(100)).is_none());
        let next = clients.mint(&settings, "me", None, Duration::from_secs(101));
        assert!(clients.holder(&settings, &next, Duration::from_secs(102)).is_some());
        assert!(clients.spend(&refresh, Some("me")).is_some());
    }
}
