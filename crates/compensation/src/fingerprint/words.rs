//! Why a failure is in its group, said so that a person can disagree with it.

use super::{Cause, VERSION, message};

/// Placeholders and what each stands for.
const LEFT_OUT: [(&str, &str); 8] = [
    (message::ID, "ids"),
    (message::NUMBER, "numbers"),
    (message::TEXT, "quoted texts"),
    (message::TIME, "times and dates"),
    (message::HEX, "hexadecimal numbers"),
    (message::ADDRESS, "network addresses"),
    (message::EMAIL, "mail addresses"),
    (message::QUERY, "the queries of web addresses"),
];

pub(super) fn why_grouped(cause: &Cause) -> String {
    let Cause {
        step,
        code,
        pattern,
    } = cause;
    let code = code.as_deref().map_or_else(
        || "names no code".to_owned(),
        |code| format!("has the code “{code}”"),
    );
    let left_out: Vec<&str> = LEFT_OUT
        .iter()
        .filter(|(placeholder, _)| pattern.contains(placeholder))
        .map(|(_, what)| *what)
        .collect();
    let left_out = match left_out.split_last() {
        None => String::new(),
        Some((one, [])) => format!("{one}, "),
        Some((last, others)) => format!("{} and {last}, ", others.join(", ")),
    };
    let long = if pattern.ends_with(message::CUT) {
        format!(
            ", and whatever follows its first {} characters",
            message::AT_MOST
        )
    } else {
        String::new()
    };
    format!(
        "Everything in this group failed at the step “{step}”, {code}, and its error reads “{pattern}”. Left out of the comparison: \
         {left_out}every line of the error after its first{long}. This is way {VERSION} of comparing."
    )
}
