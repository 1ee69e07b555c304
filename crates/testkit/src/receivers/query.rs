//! A target's path and query, read as forms are read: `+` is a space, so that a signature that was not escaped is another one.

/// Path and query of a target.
pub(super) fn parts(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// A query's value of that name, unescaped.
pub(super) fn value(target: &str, name: &str) -> Option<String> {
    let (_, query) = parts(target);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(known, _)| *known == name);
    found.next().map(|(_, value)| unescaped(value))
}

fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unescaped_as_forms_are() {
        let target = "/robot/send?access_token=T&sign=a%2Bb%2F%3D&raw=a+b";
        assert_eq!(parts(target).0, "/robot/send");
        assert_eq!(value(target, "access_token").as_deref(), Some("T"));
        assert_eq!(value(target, "sign").as_deref(), Some("a+b/="));
        assert_eq!(value(target, "raw").as_deref(), Some("a b"));
        assert_eq!(value(target, "other"), None);
    }
}
