//! What a receiver says, without the credentials it may repeat. The one home of that: whatever comes from outside and is kept or shown
//! passes here.

use super::{shorten::shortened, texts::one_line};
use reqwest::Url;
use service_kit::settings::Secret;

/// Of a receiver's own words, in characters.
const SAID_AT_MOST: usize = 200;
/// Shorter pieces of a path are words like `send`, and no credentials.
const PIECE_AT_LEAST: usize = 8;
const HIDDEN: &str = "***";

/// The credentials of one channel.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those in a url (account, path, query) and those it signs with, separated by blanks.
    pub(super) fn of(url: &Url, secret: &Secret) -> Self {
        let account = [url.username(), url.password().unwrap_or_default()];
        let pieces = url
            .path()
            .split('/')
            .filter(|piece| piece.len() >= PIECE_AT_LEAST);
        let plain = account.into_iter().chain(pieces).map(str::to_owned);
        let queried = url.query_pairs().map(|(_, value)| value.into_owned());
        // As they stand in the url, too, where letters are escaped; one without a name is all value.
        let raw = url.query().unwrap_or_default().split('&');
        let raw = raw.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let signing = [secret.expose()]
            .into_iter()
            .chain(secret.expose().split_whitespace());
        let mut all: Vec<_> = plain
            .chain(queried)
            .chain(raw.map(str::to_owned))
            .chain(signing.map(str::to_owned))
            .collect();
        all.retain(|credential| !credential.trim().is_empty());
        // Where one holds another, the longer goes first: nothing of it is left over.
        all.sort_by_key(|credential| std::cmp::Reverse(credential.len()));
        all.dedup();
        Self(all)
    }

    /// One line of what a receiver said, as much of it as is worth keeping.
    pub(super) fn without(&self, said: &str) -> String {
        let hidden = self.0.iter().fold(said.to_owned(), |said, credential| {
            said.replace(credential, HIDDEN)
        });
        shortened(one_line(&hidden).trim(), SAID_AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_part_of_a_credential_is_repeated_it_is_hidden() {
        let url = "https://account:password@hooks.example/services/T0001/B0001/abcdefghijkl?key=K-1&access_token=k-2";
        let secrets = Secrets::of(&url.parse().unwrap(), &Secret::new("whsec_one whsec_two"));
        let said = secrets.without(&format!(
            "no: {url}\nwhsec_two, whsec_one; whsec_one whsec_two"
        ));
        for credential in [
            "account",
            "password",
            "abcdefghijkl",
            "K-1",
            "k-2",
            "whsec_",
        ] {
            assert!(!said.contains(credential), "{credential}: {said}");
        }
        assert!(
            said.starts_with("no: https://***:***@hooks.example/"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1);
    }

    /// Meant to break when a query's values are known only as they are meant: servers repeat the url as it came.
    #[test]
    fn what_is_escaped_in_a_url_is_hidden_as_it_is_meant_and_as_it_stands() {
        let url = "https://hooks.example/send?key=hu%2Fsh%2B1&bare-token&access_token=a%20b"
            .parse()
            .unwrap();
        let secrets = Secrets::of(&url, &Secret::default());
        let said = secrets.without(&format!("no: {url} hu/sh+1 a b"));
        for credential in ["hu%2Fsh", "hu/sh", "bare-token", "a%20b", "a b"] {
            assert!(!said.contains(credential), "{credential}: {said}");
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        let secrets = Secrets::of(&"https://x.example/".parse().unwrap(), &Secret::default());
        assert_eq!(
            secrets.without(&"x".repeat(16_384)).chars().count(),
            SAID_AT_MOST
        );
        assert_eq!(secrets.without("busy"), "busy");
    }
}
