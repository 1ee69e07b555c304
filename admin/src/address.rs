//! Addresses of pages: texts put into a query, and a look at where a log-in may lead.

use std::fmt::Write as _;

/// A text as a value in a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => {
                // Into a String, it cannot fail.
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// `path?name=value&…`, without the names that have no value.
pub(crate) fn with_query(path: &str, values: &[(&str, Option<String>)]) -> String {
    let mut address = path.to_owned();
    let mut separator = '?';
    for (name, value) in values {
        if let Some(value) = value {
            address.push(separator);
            address.push_str(name);
            address.push('=');
            address.push_str(&encoded(value));
            separator = '&';
        }
    }
    address
}

/// The path to go on to, if it is one of this site; a link from elsewhere must not lead elsewhere through the log-in.
pub(crate) fn local(next: &str) -> Option<&str> {
    let begins = next.starts_with('/') && !next.starts_with("//");
    // A browser takes a backslash for a slash, and drops tabs and line ends.
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (begins && plain && next.len() <= 2000).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_to_this_site_only() {
        for path in ["/", "/archives?q=a%20b&state=open", "/archives/1"] {
            assert_eq!(local(path), Some(path));
        }
        for elsewhere in [
            "",
            "archives",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/a\n",
            "javascript:alert(1)",
            "/é",
        ] {
            assert_eq!(local(elsewhere), None, "{elsewhere:?}");
        }
    }

    #[test]
    fn a_query_has_what_has_a_value() {
        let values = [
            ("q", Some("a b&c=é".to_owned())),
            ("state", None),
            ("after", Some("1.2".to_owned())),
        ];
        assert_eq!(
            with_query("/archives", &values),
            "/archives?q=a%20b%26c%3D%C3%A9&after=1.2"
        );
        assert_eq!(with_query("/archives", &[]), "/archives");
    }
}
