//! What a change changed, value by value, as the audit and the history tell it.

use compensation::policy::Terms;
use serde_json::Value;

/// A text for each value that differs; one that says so where none does.
pub(super) fn differences(before: &Terms, after: &Terms) -> Vec<String> {
    let (before, after) = (values(before), values(after));
    let mut told: Vec<String> = before
        .into_iter()
        .zip(after)
        .filter(|(before, after)| before.1 != after.1)
        .map(|((name, before), (_, after))| format!("{name} {before} → {after}"))
        .collect();
    if told.is_empty() {
        told.push("nothing differs".to_owned());
    }
    told
}

/// Every value with its name; always in the same order.
fn values(terms: &Terms) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    if let Ok(value) = serde_json::to_value(terms) {
        flatten(String::new(), value, &mut flat);
    }
    flat
}

fn flatten(name: String, value: Value, flat: &mut Vec<(String, Value)>) {
    let Value::Object(members) = value else {
        flat.push((name, value));
        return;
    };
    for (member, value) in members {
        let name = if name.is_empty() {
            member
        } else {
            format!("{name}.{member}")
        };
        flatten(name, value, flat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::settings::Settings;

    #[test]
    fn each_value_that_differs_is_told() {
        let before = Terms::of_settings(&Settings::default());
        let mut after = before.clone();
        assert_eq!(differences(&before, &after), ["nothing differs"]);
        after.jitter = 0.5;
        after.dlq.retry_delay = vec![60.0];
        assert_eq!(
            differences(&before, &after),
            ["dlq.retry_delay [60.0,300.0] → [60.0]", "jitter 0.2 → 0.5"]
        );
    }
}
