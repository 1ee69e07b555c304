//! Telling participants what was decided, and what they say together.

use crate::{
    ids::Gid,
    participant::Participant,
    state::Direction,
    transaction::{Answer, Completion, Work},
};
use futures::{FutureExt as _, future::join_all};
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

/// Asks all participants to complete all branches: what each says of them, in their order.
pub(crate) async fn complete<'a, W: Work>(
    participants: &'a [Arc<dyn Participant<W>>],
    branches: &[Completion<W::Branch>],
) -> Vec<(&'a str, Vec<Answer>)> {
    let asked = participants.iter().map(async |participant| {
        let answers = AssertUnwindSafe(participant.complete(branches))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| vec![Answer::Failed("it panicked".to_owned()); branches.len()]);
        (participant.name(), answers)
    });
    join_all(asked).await
}

/// What all participants together say of each branch: done once all of them are, failed where one of them did. Whoever says
/// nothing of a branch is not done.
pub(crate) fn joined(branches: usize, answers: Vec<(&str, Vec<Answer>)>) -> Vec<Answer> {
    let mut all = vec![Answer::Done; branches];
    for (name, answers) in answers {
        let silence = std::iter::repeat(Answer::NotYet("no answer".to_owned()));
        for (so_far, answer) in all.iter_mut().zip(answers.into_iter().chain(silence)) {
            match (&*so_far, answer) {
                (Answer::Done, Answer::NotYet(why)) => {
                    *so_far = Answer::NotYet(format!("{name}: {why}"));
                }
                (Answer::Done | Answer::NotYet(_), Answer::Failed(why)) => {
                    *so_far = Answer::Failed(format!("{name}: {why}"));
                }
                _ => {}
            }
        }
    }
    all
}

/// The branches that are done, by direction.
pub(crate) fn done_of<B>(
    branches: &[Completion<B>],
    answers: &[Answer],
) -> HashMap<Direction, Vec<Gid>> {
    let mut done: HashMap<Direction, Vec<Gid>> = HashMap::new();
    for (branch, answer) in branches.iter().zip(answers) {
        if *answer == Answer::Done {
            done.entry(branch.direction).or_default().push(branch.gid);
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_done_once_everybody_is_and_failed_where_one_failed() {
        let not_yet = || Answer::NotYet("away".to_owned());
        let failed = || Answer::Failed("refused".to_owned());
        let stock = vec![
            Answer::Done,
            Answer::Done,
            not_yet(),
            failed(),
            Answer::Done,
        ];
        let coupon = vec![Answer::Done, not_yet(), failed(), not_yet()];
        assert_eq!(
            joined(5, vec![("stock", stock), ("coupon", coupon)]),
            [
                Answer::Done,
                Answer::NotYet("coupon: away".to_owned()),
                Answer::Failed("coupon: refused".to_owned()),
                Answer::Failed("stock: refused".to_owned()),
                Answer::NotYet("coupon: no answer".to_owned()),
            ]
        );
    }
}
