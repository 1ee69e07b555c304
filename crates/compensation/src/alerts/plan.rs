//! What of all that waits on a channel is sent now, what a digest tells of, and what a later notice says as well. Pure.
//!
//! Order: of an incident nothing is sent while something of it is under way, and of several that wait only the last is sent: it says
//! status and count, so it says all of it. Of incidents of one thread, which a receiver may take for one, the earlier goes first: its end
//! would close what the later one opened. One that fails again and again is not waited for. What ended before anybody could be told of it is told of all the same, by its end. Only where
//! nothing of it was even tried on this channel, it was not urgent, and its beginning is old news by now, neither is sent; both are
//! shown as superseded with the reason.
//!
//! Room: where more is due than the bucket gives, or more than a few waited while the receiver was away, urgent first notices go alone
//! while there are tokens, and a digest tells of everything else. What an operator asked for and digests themselves always go alone.
//! Where the channel makes no digests everything goes as there are tokens, and the rest waits: one by one, or several in one message
//! where the channel can read them apart. What an operator asked for and what failed again and again goes alone also there: whatever is
//! wrong with it is wrong with no other.

use super::{Severity, Status};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use uuid::Uuid;

/// More than these, waiting for a receiver that was away, become a digest.
const FEW: usize = 5;
/// What is over, was not urgent and began before this is told to nobody who was not told that it began.
pub(super) const OLD_NEWS: Duration = Duration::from_mins(10);
/// What was tried so often in vain keeps no later incident waiting.
const TRIES_WAITED_FOR: u32 = 3;

/// A notice that is pending on the channel.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) id: Uuid,
    pub(super) incident: Option<Uuid>,
    /// What its like share, of whichever incident: [`super::Notice::key`].
    pub(super) thread: Option<Uuid>,
    pub(super) sequence: u32,
    pub(super) severity: Severity,
    pub(super) status: Status,
    /// Tries so far.
    pub(super) attempts: u32,
    pub(super) due: bool,
    /// A courier is sending it.
    pub(super) in_hand: bool,
    /// An operator wants it sent.
    pub(super) asked: bool,
    /// Since it was written.
    pub(super) age: Duration,
}

impl Waiting {
    /// Whether it is a digest that what comes after it waits for.
    pub(super) fn is_waited_for(&self) -> bool {
        self.status == Status::Digest && (self.in_hand || self.attempts < TRIES_WAITED_FOR)
    }
}

/// What the channel has room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Tokens of its bucket.
    pub(super) tokens: u32,
    /// Requests one courier sends at once.
    pub(super) at_once: u32,
    /// Whether a digest may stand for many.
    pub(super) digests: bool,
    /// Notices that one message may hold.
    pub(super) together: usize,
    pub(super) receiver: Receiver,
}

/// How the receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    Well,
    /// It took something for the first time since it failed.
    Returned,
    /// It failed last time, and is tried with one.
    Failing,
    /// Switched off: only what operators ask for is sent.
    Off,
}

/// What is to be done, as places in the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// A later notice says all of it.
    pub(super) superseded: Vec<usize>,
    /// Over before anybody could be told.
    pub(super) over: Vec<usize>,
    /// To be sent as they are.
    pub(super) alone: Vec<usize>,
    /// To be sent as they are, each list in one message.
    pub(super) together: Vec<Vec<usize>>,
    /// To be told of by a digest; none or at least two.
    pub(super) digest: Vec<usize>,
}

/// Incidents that ended while they waited here, and of which it has to be known whether anything was told of them before: were they not,
/// [`plan`] is to be given them as `unseen`.
pub(super) fn ended_unseen(waiting: &[Waiting]) -> Vec<Uuid> {
    let mut incidents: Vec<_> = by_incident(waiting)
        .into_iter()
        .filter(|(_, of_it)| is_old_news(waiting, of_it))
        .map(|(incident, _)| incident)
        .collect();
    incidents.sort_unstable();
    incidents
}

/// See the module. `waiting` is in the order in which it became due. Of the incidents in `told_soon` a digest that is still to arrive tells:
/// nothing of them goes before it.
pub(super) fn plan(
    waiting: &[Waiting],
    room: Room,
    unseen: &HashSet<Uuid>,
    told_soon: &HashSet<Uuid>,
) -> Plan {
    let mut plan = Plan::default();
    let free = in_order(waiting, unseen, told_soon, &mut plan);
    let mut due: Vec<usize> = free.iter().copied().filter(|at| waiting[*at].due).collect();
    due.sort_by_key(|at| rank(&waiting[*at]));
    let (tokens, at_once) = (room.tokens as usize, room.at_once as usize);
    match room.receiver {
        _ if tokens == 0 => {}
        Receiver::Off => {
            due.retain(|at| waiting[*at].asked);
            due.truncate(tokens.min(at_once));
            plan.alone = due;
        }
        Receiver::Failing => {
            due.truncate(1);
            plan.alone = due;
        }
        _ if !room.digests => side_by_side(waiting, due, room, &mut plan),
        Receiver::Returned if due.len() > FEW => squeeze(waiting, &free, &due, room, &mut plan),
        _ if due.len() > tokens => squeeze(waiting, &free, &due, room, &mut plan),
        Receiver::Well | Receiver::Returned => {
            due.truncate(at_once);
            plan.alone = due;
        }
    }
    plan
}

/// As many messages as there is room for, and in as few of them as hold it all.
fn side_by_side(waiting: &[Waiting], mut due: Vec<usize>, room: Room, plan: &mut Plan) {
    let messages = room.tokens.min(room.at_once) as usize;
    if due.len() <= messages || room.together < 2 {
        due.truncate(messages);
        plan.alone = due;
        return;
    }
    let goes_alone = |at: &usize| {
        rank(&waiting[*at]) == Rank::Asked || waiting[*at].attempts >= TRIES_WAITED_FOR
    };
    let (mut alone, others): (Vec<usize>, Vec<usize>) = due.into_iter().partition(goes_alone);
    // One message is the others', however many go alone.
    let most = messages - usize::from(!others.is_empty() && messages > 1);
    alone.truncate(most);
    for several in others.chunks(room.together).take(messages - alone.len()) {
        match several {
            [one] => alone.push(*one),
            several => plan.together.push(several.to_vec()),
        }
    }
    plan.alone = alone;
}

/// More than there is room for: some go alone, a digest tells of the others, also of those that are not due again yet.
fn squeeze(waiting: &[Waiting], free: &[usize], due: &[usize], room: Room, plan: &mut Plan) {
    let (tokens, at_once) = (room.tokens as usize, room.at_once as usize);
    let goes_alone = |at: &usize| rank(&waiting[*at]) != Rank::Rest;
    let must = |at: &usize| rank(&waiting[*at]) <= Rank::Digest;
    // One token is the digest's, but not where that would keep waiting for ever what can be in none.
    let first_must = due.iter().any(must);
    let alone_at_most = (tokens - 1).max(usize::from(first_must));
    let mut alone: Vec<usize> = due
        .iter()
        .copied()
        .filter(goes_alone)
        .take(alone_at_most)
        .collect();
    let rest: Vec<usize> = free
        .iter()
        .copied()
        .filter(|at| !must(at) && !alone.contains(at))
        .collect();
    if alone.len() >= tokens {
        alone.truncate(at_once);
    } else if let [one] = rest[..] {
        alone.truncate(at_once - 1);
        alone.extend(waiting[one].due.then_some(one));
    } else {
        alone.truncate(at_once - usize::from(!rest.is_empty()));
        plan.digest = rest;
    }
    plan.alone = alone;
}

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Asked,
    Digest,
    UrgentFirst,
    Rest,
}

fn rank(it: &Waiting) -> Rank {
    if it.asked {
        return Rank::Asked;
    }
    match it.status {
        Status::Test => Rank::Asked,
        Status::Digest => Rank::Digest,
        Status::Firing | Status::Escalated if it.severity == Severity::Urgent => Rank::UrgentFirst,
        Status::Acknowledged => Rank::UrgentFirst,
        _ => Rank::Rest,
    }
}

/// What may be sent as far as order goes.
fn in_order(
    waiting: &[Waiting],
    unseen: &HashSet<Uuid>,
    told_soon: &HashSet<Uuid>,
    plan: &mut Plan,
) -> Vec<usize> {
    let mut kept: HashSet<usize> = (0..waiting.len())
        .filter(|at| !waiting[*at].in_hand)
        .collect();
    for (incident, of_it) in by_incident(waiting) {
        let (under_way, mut idle): (Vec<usize>, Vec<usize>) =
            of_it.iter().partition(|at| waiting[**at].in_hand);
        // What was asked for by hand says how it was then: what came since goes after it.
        let asked_first = idle
            .iter()
            .any(|at| waiting[*at].asked && waiting[*at].attempts < TRIES_WAITED_FOR);
        let waits = asked_first || !under_way.is_empty() || told_soon.contains(&incident);
        idle.retain(|at| !waiting[*at].asked);
        if unseen.contains(&incident) && is_old_news(waiting, &of_it) {
            plan.over.extend(&idle);
            continue;
        }
        // That somebody looks after it says nothing of how it stands: it goes after what does, and is never told instead of it.
        let (calm, idle): (Vec<usize>, Vec<usize>) = idle
            .into_iter()
            .partition(|at| waiting[*at].status == Status::Acknowledged);
        if let Some((last, earlier)) = idle.split_last() {
            plan.superseded.extend(earlier);
            if waits {
                kept.remove(last);
            }
        }
        if let Some((last, earlier)) = calm.split_last() {
            plan.superseded.extend(earlier);
            let end = idle.last().map(|at| waiting[*at].status);
            if end == Some(Status::Resolved) {
                plan.superseded.push(*last);
            } else if end.is_some() || waits {
                kept.remove(last);
            }
        }
    }
    for gone in plan.superseded.iter().chain(&plan.over) {
        kept.remove(gone);
    }
    wait_for_earlier_ones(waiting, &mut kept);
    plan.superseded.sort_unstable();
    plan.over.sort_unstable();
    let mut kept: Vec<usize> = kept.into_iter().collect();
    kept.sort_unstable();
    kept
}

/// Keeps back what is of an incident while an earlier one of its thread is still to be told of. Their ids are in the order in which they
/// were opened.
fn wait_for_earlier_ones(waiting: &[Waiting], kept: &mut HashSet<usize>) {
    let place = |it: &Waiting| it.thread.zip(it.incident);
    let mut first: HashMap<Uuid, Uuid> = HashMap::new();
    for (at, it) in waiting.iter().enumerate() {
        let goes_soon = kept.contains(&at) && it.attempts < TRIES_WAITED_FOR;
        if let Some((thread, incident)) = place(it).filter(|_| it.in_hand || goes_soon) {
            let first = first.entry(thread).or_insert(incident);
            *first = incident.min(*first);
        }
    }
    kept.retain(|at| {
        let it = &waiting[*at];
        it.asked
            || place(it).is_none_or(|(thread, incident)| {
                first.get(&thread).is_none_or(|first| incident <= *first)
            })
    });
}

/// Each incident's notices, by their sequence.
fn by_incident(waiting: &[Waiting]) -> HashMap<Uuid, Vec<usize>> {
    let mut all: HashMap<Uuid, Vec<usize>> = HashMap::new();
    for (at, it) in waiting.iter().enumerate() {
        if let Some(incident) = it.incident {
            all.entry(incident).or_default().push(at);
        }
    }
    for of_it in all.values_mut() {
        of_it.sort_by_key(|at| waiting[*at].sequence);
    }
    all
}

fn is_old_news(waiting: &[Waiting], of_it: &[usize]) -> bool {
    let mut all = of_it.iter().map(|at| &waiting[*at]);
    let is_over = of_it
        .last()
        .is_some_and(|last| waiting[*last].status == Status::Resolved);
    is_over
        && all.clone().any(|it| it.age >= OLD_NEWS)
        && all.all(|it| {
            it.severity != Severity::Urgent && it.attempts == 0 && !it.in_hand && !it.asked
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(incident: u128, sequence: u32, status: Status) -> Waiting {
        Waiting {
            id: Uuid::from_u128(incident * 1000 + u128::from(sequence)),
            incident: (incident > 0).then(|| Uuid::from_u128(incident)),
            thread: None,
            sequence,
            severity: Severity::Warning,
            status,
            attempts: 0,
            due: true,
            in_hand: false,
            asked: false,
            age: Duration::from_secs(1),
        }
    }

    fn urgent(incident: u128) -> Waiting {
        Waiting {
            severity: Severity::Urgent,
            ..notice(incident, 1, Status::Firing)
        }
    }

    fn many(count: u128) -> Vec<Waiting> {
        (1..=count)
            .map(|incident| notice(incident, 1, Status::Firing))
            .collect()
    }

    fn with(tokens: u32, receiver: Receiver) -> Room {
        Room {
            tokens,
            at_once: 4,
            digests: true,
            together: 1,
            receiver,
        }
    }

    fn planned(waiting: &[Waiting], tokens: u32, receiver: Receiver) -> Plan {
        plan(
            waiting,
            with(tokens, receiver),
            &HashSet::new(),
            &HashSet::new(),
        )
    }

    /// Breaks when an end does not wait for the digest that tells of its beginning: the digest, which is tried again, would say that it
    /// stands, and be the last word.
    #[test]
    fn nothing_of_an_incident_overtakes_the_digest_that_tells_of_it() {
        let again = |attempts| Waiting {
            attempts,
            due: false,
            ..notice(0, 0, Status::Digest)
        };
        let told = HashSet::from([Uuid::from_u128(1)]);
        let sent = |attempts| {
            let waiting = [
                again(attempts),
                notice(1, 2, Status::Resolved),
                notice(2, 1, Status::Firing),
            ];
            let told = if waiting[0].is_waited_for() {
                told.clone()
            } else {
                HashSet::new()
            };
            let room = with(30, Receiver::Well);
            plan(&waiting, room, &HashSet::new(), &told).alone
        };
        assert_eq!(sent(1), [2]);
        assert_eq!(sent(TRIES_WAITED_FOR), [1, 2]);
    }

    /// Breaks when both go at once: a receiver that has the beginning last shows as standing what is over.
    #[test]
    fn what_is_over_goes_after_what_was_asked_for_of_its_beginning() {
        let asked = Waiting {
            asked: true,
            ..notice(1, 1, Status::Firing)
        };
        let waiting = [notice(1, 2, Status::Resolved), asked];
        assert_eq!(planned(&waiting, 30, Receiver::Well).alone, [1]);
    }

    /// Breaks when what is in hand is not looked at: the receiver has "resolved" before "firing".
    #[test]
    fn nothing_of_an_incident_goes_while_something_of_it_is_under_way() {
        let under_way = Waiting {
            in_hand: true,
            due: false,
            ..notice(1, 1, Status::Firing)
        };
        let later = [
            notice(1, 3, Status::Resolved),
            notice(1, 2, Status::Changed),
        ];
        let waiting = [vec![under_way], later.to_vec(), many(2)[1..].to_vec()].concat();
        let plan = planned(&waiting, 30, Receiver::Well);
        assert_eq!((plan.superseded, plan.alone), (vec![2], vec![3]));
    }

    /// Breaks when each incident goes by itself: its receiver is told that the second is over, which stands.
    #[test]
    fn of_incidents_that_a_receiver_takes_for_one_the_earlier_is_told_of_first() {
        let thread = Some(Uuid::from_u128(9));
        let of = |incident, status| Waiting {
            thread,
            ..notice(incident, 2, status)
        };
        let (end, second) = (of(1, Status::Resolved), of(2, Status::Firing));
        let urgent = Waiting {
            severity: Severity::Urgent,
            ..second.clone()
        };
        let waiting = [urgent, end.clone(), notice(3, 1, Status::Firing)];
        assert_eq!(planned(&waiting, 30, Receiver::Well).alone, [1, 2]);
        let under_way = Waiting {
            in_hand: true,
            due: false,
            ..end.clone()
        };
        let waiting = [under_way, second.clone()];
        assert_eq!(planned(&waiting, 30, Receiver::Well).alone, [0; 0]);
        let in_vain = Waiting {
            due: false,
            attempts: TRIES_WAITED_FOR,
            ..end
        };
        let waiting = [in_vain, second];
        assert_eq!(planned(&waiting, 30, Receiver::Well).alone, [1]);
    }

    /// Breaks when a digest is made for a receiver that closes by an incident's end what its beginning opened.
    #[test]
    fn where_no_digest_may_stand_for_many_they_go_one_by_one_and_the_rest_waits() {
        let mut waiting = many(6);
        waiting.push(urgent(7));
        for receiver in [Receiver::Well, Receiver::Returned] {
            let alone = |tokens| {
                let room = Room {
                    digests: false,
                    ..with(tokens, receiver)
                };
                let plan = plan(&waiting, room, &HashSet::new(), &HashSet::new());
                assert_eq!((plan.digest, plan.superseded), (vec![], vec![]));
                plan.alone
            };
            assert_eq!(alone(2), [6, 0]);
            assert_eq!(alone(30), [6, 0, 1, 2]);
            assert_eq!(alone(0), [0; 0]);
        }
    }

    /// Breaks when what one message may hold is told one by one, when more messages are sent than there are tokens, and when what an operator
    /// asked for or what failed again and again is in a message with others.
    #[test]
    fn where_a_message_holds_several_few_messages_tell_of_all() {
        let plan = |waiting: &[Waiting], tokens, receiver| {
            let room = Room {
                digests: false,
                together: 50,
                ..with(tokens, receiver)
            };
            let plan = plan(waiting, room, &HashSet::new(), &HashSet::new());
            assert!(plan.digest.is_empty() && plan.superseded.is_empty());
            let sizes: Vec<usize> = plan.together.iter().map(Vec::len).collect();
            (plan.alone, sizes)
        };
        let waiting = many(300);
        for receiver in [Receiver::Well, Receiver::Returned] {
            assert_eq!(plan(&waiting, 30, receiver), (vec![], vec![50; 4]));
            assert_eq!(plan(&waiting, 2, receiver), (vec![], vec![50; 2]));
        }
        assert_eq!(plan(&waiting, 30, Receiver::Failing), (vec![0], vec![]));
        assert_eq!(plan(&waiting, 0, Receiver::Well), (vec![], vec![]));
        let few = &waiting[..4];
        assert_eq!(plan(few, 30, Receiver::Well), (vec![0, 1, 2, 3], vec![]));
        assert_eq!(plan(few, 1, Receiver::Well), (vec![], vec![4]));
        assert_eq!(
            plan(&waiting[..51], 30, Receiver::Well),
            (vec![50], vec![50])
        );
        let mut odd = many(60);
        odd[7].asked = true;
        for at in [3, 4, 5, 6] {
            odd[at].attempts = TRIES_WAITED_FOR;
        }
        assert_eq!(plan(&odd, 30, Receiver::Well), (vec![7, 3, 4], vec![50]));
        assert_eq!(plan(&odd, 1, Receiver::Well), (vec![7], vec![]));
    }

    #[test]
    fn of_several_that_wait_the_last_says_it_all() {
        let waiting = [
            notice(1, 2, Status::Changed),
            Waiting {
                due: false,
                attempts: 3,
                ..notice(1, 1, Status::Firing)
            },
            notice(1, 3, Status::Resolved),
            notice(0, 0, Status::Firing),
        ];
        let plan = planned(&waiting, 30, Receiver::Well);
        assert_eq!(
            (plan.superseded, plan.over, plan.alone),
            (vec![0, 1], vec![], vec![2, 3])
        );
    }

    /// Breaks when a trigger that waits is left out because somebody acknowledged, when that is told before it, and when more of it is told
    /// instead of that.
    #[test]
    fn that_somebody_looks_after_it_is_told_after_what_it_is_of_and_not_instead() {
        let (firing, calm) = (
            notice(1, 1, Status::Firing),
            notice(1, 2, Status::Acknowledged),
        );
        let more = notice(1, 3, Status::Changed);
        let alone = |waiting: &[Waiting]| {
            let plan = planned(waiting, 30, Receiver::Well);
            (plan.superseded, plan.alone)
        };
        assert_eq!(alone(&[firing.clone(), calm.clone()]), (vec![], vec![0]));
        let under_way = Waiting {
            in_hand: true,
            due: false,
            ..firing.clone()
        };
        assert_eq!(alone(&[under_way, calm.clone()]), (vec![], vec![]));
        assert_eq!(alone(std::slice::from_ref(&calm)), (vec![], vec![0]));
        let all = [firing, calm.clone(), more];
        assert_eq!(alone(&all), (vec![0], vec![2]));
        let over = notice(1, 4, Status::Resolved);
        assert_eq!(alone(&[calm, over]), (vec![0], vec![1]));
    }

    /// Breaks when the end of something urgent, or of something that may have been told, is kept back.
    #[test]
    fn what_ended_unseen_is_kept_back_only_where_it_is_old_news() {
        let old = |it: Waiting| Waiting {
            age: OLD_NEWS,
            ..it
        };
        let (begun, over) = (notice(1, 1, Status::Firing), notice(1, 2, Status::Resolved));
        let unseen = HashSet::from([Uuid::from_u128(1)]);
        let alone = |waiting: &[Waiting], unseen: &HashSet<Uuid>| {
            let plan = plan(waiting, with(30, Receiver::Well), unseen, &HashSet::new());
            assert_eq!(plan.over.is_empty(), !plan.alone.is_empty(), "{plan:?}");
            plan.alone.len()
        };
        let outage = [old(begun.clone()), over.clone()];
        assert_eq!(ended_unseen(&outage), [Uuid::from_u128(1)]);
        assert_eq!(alone(&outage, &unseen), 0);
        assert_eq!(alone(&outage, &HashSet::new()), 1, "something was told");
        let young = [begun.clone(), over.clone()];
        assert!(ended_unseen(&young).is_empty() && alone(&young, &unseen) == 1);
        let tried = [
            Waiting {
                attempts: 1,
                ..old(begun.clone())
            },
            over.clone(),
        ];
        assert_eq!(alone(&tried, &unseen), 1, "it may have arrived");
        let urgent = [begun, over].map(|it| Waiting {
            severity: Severity::Urgent,
            ..old(it)
        });
        assert_eq!(alone(&urgent, &unseen), 1);
    }

    #[test]
    fn what_there_is_room_for_goes_alone_and_urgent_first() {
        let mut waiting = many(6);
        waiting.push(urgent(7));
        let plan = planned(&waiting, 7, Receiver::Well);
        assert_eq!((plan.alone, plan.digest), (vec![6, 0, 1, 2], vec![]));
    }

    /// Breaks when the digest's own token is given away, and when what is not due again yet is left out of it.
    #[test]
    fn where_more_is_due_than_the_bucket_gives_a_digest_tells_of_the_rest() {
        let mut waiting = many(6);
        waiting.extend([urgent(7), urgent(8), urgent(9)]);
        waiting.push(Waiting {
            due: false,
            attempts: 1,
            ..notice(10, 1, Status::Firing)
        });
        let plan = planned(&waiting, 3, Receiver::Well);
        assert_eq!(plan.alone, [6, 7]);
        assert_eq!(plan.digest, [0, 1, 2, 3, 4, 5, 8, 9]);
        let plan = planned(&waiting, 1, Receiver::Well);
        assert_eq!((plan.alone.len(), plan.digest.len()), (0, 10));
        assert_eq!(planned(&waiting, 0, Receiver::Well), Plan::default());
    }

    #[test]
    fn what_waited_while_the_receiver_was_away_is_a_digest_when_it_is_more_than_a_few() {
        let few = planned(&many(5), 30, Receiver::Returned);
        assert_eq!((few.alone.len(), few.digest.len()), (4, 0));
        let more = planned(&many(6), 30, Receiver::Returned);
        assert_eq!((more.alone.len(), more.digest.len()), (0, 6));
        let probe = planned(&many(6), 30, Receiver::Failing);
        assert_eq!((probe.alone.len(), probe.digest.len()), (1, 0));
    }

    /// Breaks when a digest may be digested, or waits for ever because there is always more.
    #[test]
    fn a_digest_and_what_was_asked_for_go_as_they_are() {
        let digest = notice(0, 0, Status::Digest);
        let asked = Waiting {
            asked: true,
            ..notice(50, 1, Status::Firing)
        };
        let waiting = [many(6), vec![digest, asked]].concat();
        let plan = planned(&waiting, 1, Receiver::Well);
        assert_eq!((plan.alone, plan.digest), (vec![7], vec![]));
        let plan = planned(&waiting, 4, Receiver::Well);
        assert_eq!(
            (plan.alone, plan.digest),
            (vec![7, 6], vec![0, 1, 2, 3, 4, 5])
        );
        assert_eq!(planned(&waiting, 9, Receiver::Off).alone, [7]);
    }

    #[test]
    fn a_digest_tells_of_two_at_least_and_no_token_is_given_twice() {
        for tokens in 1..6 {
            for warnings in 0..6 {
                for urgents in 0..6_u128 {
                    let mut waiting = many(warnings);
                    waiting.extend((1..=urgents).map(|it| urgent(100 + it)));
                    for receiver in [Receiver::Well, Receiver::Returned] {
                        let plan = planned(&waiting, tokens, receiver);
                        let taken = plan.alone.len() + usize::from(!plan.digest.is_empty());
                        assert!(taken <= tokens as usize && taken <= 4, "{plan:?}");
                        assert!(taken > 0 || waiting.is_empty(), "{plan:?}");
                        assert_ne!(plan.digest.len(), 1, "{plan:?}");
                    }
                }
            }
        }
    }
}
