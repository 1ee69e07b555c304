//! Transactions with foreign participants, on real sockets: written down first, decided with all promises only, told until they have
//! done what was decided.

use crate::theatre::{Mood, Theatre, Visit};
use coordinator::{
    BranchState, DecideError, ForeignParticipants, Gid, HttpParticipant, HttpSettings, Outcome,
    Recovery, ResumeError, Style, SubmitError, Transaction, TxState, control,
};
use futures::future::join_all;
use std::time::{Duration, Instant};
use testkit::{
    eventually,
    foreign_participant::{Behaviour, ForeignParticipant, Then},
};

const SOON: Duration = Duration::from_mins(1);

fn participant(name: &str, style: Style, at: &ForeignParticipant) -> HttpParticipant {
    HttpParticipant::new(HttpSettings {
        name: name.to_owned(),
        style,
        url: at.url(),
        timeout: Duration::from_secs(5),
        in_flight: 16,
        breaker_failures: 3,
    })
    .unwrap()
}

/// A theatre with a coupon service.
async fn with_coupons(seats: u32, style: Style) -> (Theatre, ForeignParticipant) {
    let coupons = ForeignParticipant::start().await;
    let foreign = ForeignParticipants::new([participant("coupon", style, &coupons)]).unwrap();
    (Theatre::with(seats, foreign).await, coupons)
}

fn visit(visitor: u32) -> Transaction<Visit> {
    Theatre::visit_with(visitor, &["coupon"])
}

async fn becomes(theatre: &Theatre, gid: Gid, state: &str) {
    let what = format!("{gid} becomes {state}");
    eventually(&what, SOON, || async {
        (theatre.logged(gid).await.state == state).then_some(())
    })
    .await;
}

/// Everything unfinished is due, and recovery looks until it has nothing to do.
async fn recover(theatre: &Theatre, recovery: &Recovery<Visit>) {
    theatre.all_is_due().await;
    recovery.run_batch().await.unwrap();
    recovery.told().await;
}

async fn branch(theatre: &Theatre, gid: Gid) -> control::BranchDetails {
    let details = control::get(&theatre.schema.pool, gid).await.unwrap();
    let mut branches = details.unwrap().branches;
    assert_eq!(branches.len(), 1, "{branches:?}");
    branches.remove(0)
}

fn at_peace(coupons: &ForeignParticipant, used: u64) {
    assert_eq!(coupons.broken_rules(), [""; 0]);
    assert_eq!((coupons.used(), coupons.reserved()), (used, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_made_good_or_given_back() {
    let (theatre, coupons) = with_coupons(1, Style::Tcc).await;
    let (seated, full) = (visit(1), visit(2));
    let gids = [seated.gid, full.gid];
    assert_eq!(
        theatre.engine().submit(seated).await,
        Ok(Outcome::Committed)
    );
    let reason = "full".to_owned();
    assert_eq!(
        theatre.engine().submit(full).await,
        Ok(Outcome::RolledBack { reason })
    );
    becomes(&theatre, gids[0], "committed").await;
    becomes(&theatre, gids[1], "rolled_back").await;
    at_peace(&coupons, 1);
    assert_eq!(coupons.ops_of(gids[0].as_uuid()), ["try", "confirm"]);
    assert_eq!(coupons.ops_of(gids[1].as_uuid()), ["try", "cancel"]);

    let branch = branch(&theatre, gids[0]).await;
    assert_eq!((branch.state, branch.attempts), (BranchState::Done, 2));
    let history: Vec<(&str, &str)> = branch
        .history
        .iter()
        .map(|it| (it.op.as_str(), it.answer.as_str()))
        .collect();
    assert_eq!(history, [("try", "done"), ("confirm", "done")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_saga_did_stays_done_or_is_undone() {
    let (theatre, coupons) = with_coupons(1, Style::Saga).await;
    let (seated, full) = (visit(1), visit(2));
    let gids = [seated.gid, full.gid];
    theatre.engine().submit(seated).await.unwrap();
    theatre.engine().submit(full).await.unwrap();
    becomes(&theatre, gids[0], "committed").await;
    becomes(&theatre, gids[1], "rolled_back").await;
    at_peace(&coupons, 1);
    assert_eq!(coupons.ops_of(gids[0].as_uuid()), ["action"]);
    assert_eq!(coupons.ops_of(gids[1].as_uuid()), ["action", "compensate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_rolls_back_and_needs_no_cancel() {
    let (theatre, coupons) = with_coupons(1, Style::Tcc).await;
    coupons.next("try", Behaviour::Refuse("expired"));
    let refused = visit(1);
    let gid = refused.gid;
    let reason = "coupon:expired".to_owned();
    assert_eq!(
        theatre.engine().submit(refused).await,
        Ok(Outcome::RolledBack { reason })
    );
    becomes(&theatre, gid, "rolled_back").await;
    assert_eq!(coupons.ops_of(gid.as_uuid()), ["try"]);
}

/// Breaks when `asking::read` takes an answer that never came for a promise.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_promise_nothing_is_decided_and_a_repeat_goes_on() {
    let (theatre, coupons) = with_coupons(2, Style::Tcc).await;
    for (visitor, loses) in [
        (1, Behaviour::Apply(Then::Reset)),
        (2, Behaviour::Skip(Then::Status(500))),
    ] {
        coupons.next("try", loses);
        let visit = visit(visitor);
        let gid = visit.gid;
        let Err(SubmitError::NotPromised(why)) = theatre.engine().submit(visit.clone()).await
        else {
            panic!("it was decided without a promise");
        };
        assert!(why.why.starts_with("coupon has not promised: "), "{why}");
        assert_eq!(theatre.logged(gid).await.state, "begun");
        assert_eq!(branch(&theatre, gid).await.state, BranchState::Unknown);
        let repeat = theatre.another_engine().submit(visit).await;
        assert_eq!(repeat, Ok(Outcome::Committed));
        becomes(&theatre, gid, "committed").await;
    }
    at_peace(&coupons, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_committed_or_rolled_back_by_whomever_once() {
    let (theatre, coupons) = with_coupons(2, Style::Tcc).await;
    let (wanted, unwanted) = (visit(1), visit(2));
    let (kept, dropped) = (wanted.gid, unwanted.gid);
    for visit in [wanted.clone(), wanted, unwanted] {
        assert_eq!(theatre.engine().begin(visit).await, Ok(TxState::Begun));
    }
    assert!(coupons.calls().is_empty(), "nobody is asked yet");

    let other = theatre.another_engine();
    assert_eq!(other.commit(kept).await, Ok(Outcome::Committed));
    assert_eq!(other.roll_back(dropped, Some("no_show")).await, Ok(()));
    assert_eq!(other.roll_back(dropped, None).await, Ok(()));
    assert_eq!(
        theatre.engine().roll_back(kept, None).await,
        Err(DecideError::AlreadyCommitted(kept))
    );
    let reason = "no_show".to_owned();
    assert_eq!(
        theatre.engine().commit(dropped).await,
        Ok(Outcome::RolledBack { reason })
    );
    becomes(&theatre, kept, "committed").await;
    becomes(&theatre, dropped, "rolled_back").await;
    at_peace(&coupons, 1);
    let nobody = Theatre::visit(3).gid;
    assert_eq!(
        theatre.engine().commit(nobody).await,
        Err(DecideError::NotFound(nobody))
    );
}

/// The try that is on its way arrives after the cancel: the participant's barrier refuses it, and the decision stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_overtakes_a_try() {
    let (theatre, coupons) = with_coupons(1, Style::Tcc).await;
    coupons.next("try", Behaviour::After(Duration::from_millis(1_500)));
    let slow = visit(1);
    let gid = slow.gid;
    let (other, engine) = (theatre.another_engine(), theatre.engine().clone());
    let submitted = tokio::spawn(async move { engine.submit(slow).await });
    coupons.called("try", 1).await;
    other.roll_back(gid, Some("overdue")).await.unwrap();
    let reason = "overdue".to_owned();
    assert_eq!(
        submitted.await.unwrap(),
        Ok(Outcome::RolledBack { reason }),
        "every caller is told what is stored"
    );
    recover(&theatre, &theatre.recovery()).await;
    becomes(&theatre, gid, "rolled_back").await;
    at_peace(&coupons, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_in_time_is_overdue_once_a_lease() {
    let (theatre, _coupons) = with_coupons(1, Style::Tcc).await;
    let left = visit(1);
    let gid = left.gid;
    theatre.engine().begin(left).await.unwrap();
    let (recovery, lease) = (theatre.recovery(), Duration::from_mins(1));
    let overdue = async || recovery.overdue(lease, 10).await.unwrap();
    assert!(overdue().await.is_empty());
    theatre
        .schema
        .execute("update transactions set due_at = utc_timestamp(3) - interval 1 second")
        .await;
    let found = overdue().await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].gid, found[0].work.visitor), (gid, 1));
    assert!(overdue().await.is_empty(), "it is somebody's");
}

/// PROTOCOL 5. Breaks when what is parked counts as an attempt, and when nobody is woken.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_holds_nobody_up_and_is_told_at_once_when_it_is_back() {
    let (coupons, points) = (
        ForeignParticipant::start().await,
        ForeignParticipant::start().await,
    );
    let foreign = ForeignParticipants::new([
        participant("coupon", Style::Tcc, &coupons),
        participant("points", Style::Tcc, &points),
    ]);
    let theatre = Theatre::with(100, foreign.unwrap()).await;
    let mut gids = Vec::new();
    for (name, visitor) in ["coupon", "points", "coupon", "coupon", "coupon", "coupon"]
        .into_iter()
        .zip(1..)
    {
        let visit = Theatre::visit_with(visitor, &[name]);
        gids.push(visit.gid);
        theatre.engine().begin(visit).await.unwrap();
    }
    // All are prepared; then the coupons go away.
    coupons.always("confirm", Behaviour::Skip(Then::Reset));
    let committed = gids.iter().map(|gid| theatre.engine().commit(*gid));
    for outcome in join_all(committed).await {
        assert_eq!(outcome, Ok(Outcome::Committed));
    }
    becomes(&theatre, gids[1], "committed").await;
    let recovery = theatre.recovery();
    for _ in 0..3 {
        recover(&theatre, &recovery).await;
    }
    let parked: i64 =
        sqlx::query_scalar("select count(*) from transaction_branches where waits = 1")
            .fetch_one(&theatre.schema.pool)
            .await
            .unwrap();
    assert!(parked > 0, "the breaker lets nobody call");

    coupons.always("confirm", Behaviour::Honest);
    // Nothing is made due by hand from here on.
    eventually("all are told", SOON, || async {
        recovery.run_batch().await.unwrap();
        recovery.told().await;
        (theatre.count("committed").await == 6).then_some(())
    })
    .await;
    at_peace(&coupons, 5);
    at_peace(&points, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_participant_holds_up_its_own_transactions_alone() {
    let (theatre, coupons) = with_coupons(100, Style::Tcc).await;
    coupons.always("confirm", Behaviour::After(Duration::from_secs(2)));
    let slow: Vec<Transaction<Visit>> = (1..=4).map(visit).collect();
    let decided = slow.into_iter().map(|visit| theatre.engine().submit(visit));
    let begun = Instant::now();
    join_all(decided).await;
    let mut beside = 0;
    for visitor in 20..30 {
        let quick = Theatre::visit(visitor);
        let gid = quick.gid;
        theatre.engine().submit(quick).await.unwrap();
        becomes(&theatre, gid, "committed").await;
        beside += usize::from(coupons.used() < 4);
    }
    // On a slow machine not all of them are, but the first waited for none of the slow ones.
    assert!(beside > 0, "all waited, {:?}", begun.elapsed());
    eventually("the slow ones follow", SOON, || async {
        (theatre.count("committed").await == 14).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_promise_is_stuck_handed_over_once_and_goes_on_when_it_is_resumed() {
    let (theatre, coupons) = with_coupons(1, Style::Tcc).await;
    coupons.always("confirm", Behaviour::Refuse("changed_my_mind"));
    let seated = visit(1);
    let gid = seated.gid;
    theatre.engine().submit(seated).await.unwrap();
    let recovery = theatre.recovery();
    eventually("it is stuck", SOON, || async {
        recover(&theatre, &recovery).await;
        (theatre.logged(gid).await.state == "stuck_committing").then_some(())
    })
    .await;
    let mut db = theatre.schema.pool.acquire().await.unwrap();
    let stuck = control::stuck_to_hand_over(&mut db, 10).await.unwrap();
    assert_eq!(stuck.len(), 1);
    assert_eq!(stuck[0].branches[0].state, BranchState::Owed);
    let error = stuck[0].branches[0].last_error.as_deref();
    assert_eq!(error, Some("changed_my_mind"));
    control::handed_over(&mut db, &[gid]).await.unwrap();
    assert!(
        control::stuck_to_hand_over(&mut db, 10)
            .await
            .unwrap()
            .is_empty()
    );

    coupons.always("confirm", Behaviour::Honest);
    recovery.resume(gid).await.unwrap();
    recover(&theatre, &recovery).await;
    becomes(&theatre, gid, "committed").await;
    at_peace(&coupons, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_by_force_is_stuck_with_what_is_not_done() {
    let (theatre, coupons) = with_coupons(1, Style::Tcc).await;
    coupons.always("confirm", Behaviour::Skip(Then::Status(500)));
    let seated = visit(1);
    let gid = seated.gid;
    let undecided = visit(2);
    theatre.engine().begin(undecided.clone()).await.unwrap();
    theatre.engine().submit(seated).await.unwrap();
    let mut db = theatre.schema.pool.acquire().await.unwrap();
    let stopped = control::stop(&mut db, gid, "ops", "coupons are closed for good").await;
    assert_eq!(stopped.unwrap(), TxState::StuckCommitting);
    let recovery = theatre.recovery();
    assert!(
        matches!(
            recovery.resume(gid).await,
            Err(ResumeError::NotHandedOver(_))
        ),
        "a stop always leaves a dead letter"
    );
    // What the refused resume had locked is let go once its session is back in the pool, and a locked row is left to the next look.
    let stuck = eventually("it is to be handed over", SOON, async || {
        let stuck =
            control::stuck_to_hand_over(&mut theatre.schema.pool.acquire().await.unwrap(), 10)
                .await;
        Some(stuck.unwrap()).filter(|stuck| !stuck.is_empty())
    })
    .await;
    let why = stuck[0].transaction.last_error.as_deref();
    assert_eq!(why, Some("stopped by ops: coupons are closed for good"));
    for refused in [gid, undecided.gid] {
        let stopped = control::stop(&mut db, refused, "ops", "again").await;
        assert!(matches!(stopped, Err(control::StopError::CannotStop(_))));
    }
    coupons.always("confirm", Behaviour::Honest);
    recover(&theatre, &recovery).await;
    assert_eq!(theatre.logged(gid).await.state, "stuck_committing");
    control::handed_over(&mut db, &[gid]).await.unwrap();
    recovery.resume(gid).await.unwrap();
    recover(&theatre, &recovery).await;
    becomes(&theatre, gid, "committed").await;
    at_peace(&coupons, 1);
}

/// A stop, and a resume, while the participant is being told: who began to tell before the stop finishes nothing. Breaks when
/// `log::finish` does not ask for the branches.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_before_it_was_told_is_not_finished_by_who_tells_others() {
    let (theatre, coupons) = with_coupons(10, Style::Tcc).await;
    coupons.always("confirm", Behaviour::Skip(Then::Reset));
    let visits: Vec<Transaction<Visit>> = (1..=2).map(visit).collect();
    let gids: Vec<Gid> = visits.iter().map(|visit| visit.gid).collect();
    for visit in visits {
        theatre.engine().submit(visit).await.unwrap();
    }
    coupons.called("confirm", 2).await;
    coupons.always("confirm", Behaviour::After(Duration::from_millis(1_500)));
    let mut db = theatre.schema.pool.acquire().await.unwrap();
    theatre.all_is_due().await;
    let recovery = theatre.recovery();
    // Between the claim and the reading of whom to tell: the row is stuck when it is read, and committing when it would be finished.
    theatre.cloakroom.is(Mood::Slow(Duration::from_secs(2)));
    let slow = tokio::spawn(async move {
        recovery.run_batch().await.unwrap();
        recovery.told().await;
    });
    theatre.cloakroom.was_slow().await;
    control::stop(&mut db, gids[0], "ops", "wait")
        .await
        .unwrap();
    control::handed_over(&mut db, &[gids[0]]).await.unwrap();
    coupons.called("confirm", 3).await;
    coordinator::resume(&mut db, gids[0]).await.unwrap();
    slow.await.unwrap();
    assert_eq!(theatre.logged(gids[0]).await.state, "committing");
    theatre.cloakroom.is(Mood::Works);
    coupons.always("confirm", Behaviour::Honest);
    recover(&theatre, &theatre.recovery()).await;
    becomes(&theatre, gids[0], "committed").await;
    at_peace(&coupons, 2);
}

/// Breaks when `come_back` does not look at `stopped`.
#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_comes_back_does_not_start_what_was_stopped() {
    let (theatre, coupons) = with_coupons(10, Style::Tcc).await;
    coupons.always("confirm", Behaviour::Skip(Then::Reset));
    let visits: Vec<Transaction<Visit>> = (1..=6).map(visit).collect();
    let stopped = visits[0].gid;
    for visit in visits {
        theatre.engine().submit(visit).await.unwrap();
    }
    let recovery = theatre.recovery();
    recover(&theatre, &recovery).await;
    let mut db = theatre.schema.pool.acquire().await.unwrap();
    control::stop(&mut db, stopped, "ops", "wait")
        .await
        .unwrap();
    control::handed_over(&mut db, &[stopped]).await.unwrap();
    coupons.always("confirm", Behaviour::Honest);
    eventually("the others are told", SOON, || async {
        recover(&theatre, &recovery).await;
        (theatre.count("committed").await == 5).then_some(())
    })
    .await;
    recover(&theatre, &recovery).await;
    assert_eq!(theatre.logged(stopped).await.state, "stuck_committing");
}

/// Settings changed, or an older process has the order: what was begun with a participant is not committed without it. Breaks
/// without `decision::may_be_decided`.
#[tokio::test(flavor = "multi_thread")]
async fn who_names_no_participants_asks_those_the_log_names() {
    let (theatre, coupons) = with_coupons(2, Style::Tcc).await;
    for (visitor, first, outcome) in [
        (1, Behaviour::Skip(Then::Reset), Outcome::Committed),
        (
            2,
            Behaviour::Refuse("archived"),
            Outcome::RolledBack {
                reason: "coupon:archived".to_owned(),
            },
        ),
    ] {
        coupons.next("try", first);
        let mut visit = visit(visitor);
        if outcome == Outcome::Committed {
            let told = theatre.engine().submit(visit.clone()).await;
            assert!(matches!(told, Err(SubmitError::NotPromised(_))));
        } else {
            theatre.engine().begin(visit.clone()).await.unwrap();
        }
        visit.work.foreign.clear();
        let gid = visit.gid;
        assert_eq!(theatre.another_engine().submit(visit).await, Ok(outcome));
        assert!(coupons.ops_of(gid.as_uuid()).contains(&"try".to_owned()));
    }
}

/// Two who ask at once may have one promise each: together they are all.
#[tokio::test(flavor = "multi_thread")]
async fn promises_that_came_to_different_askers_count_together() {
    let (theatre, coupons) = with_coupons(1, Style::Tcc).await;
    let left = visit(1);
    theatre.engine().begin(left.clone()).await.unwrap();
    theatre
        .schema
        .execute("update transaction_branches set state = 'promised'")
        .await;
    assert_eq!(theatre.engine().submit(left).await, Ok(Outcome::Committed));
    assert!(coupons.calls().iter().all(|call| call.op != "try"));
}

/// Who gives a transaction up while it is being asked is not told that it cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_comes_while_it_is_asked_is_decided_when_no_promise_comes() {
    let (theatre, coupons) = with_coupons(1, Style::Tcc).await;
    coupons.always("try", Behaviour::Apply(Then::Hang));
    let slow = visit(1);
    let (engine, other) = (theatre.engine().clone(), slow.clone());
    let submitted = tokio::spawn(async move { engine.submit(other).await });
    coupons.called("try", 1).await;
    let reason = "given_up".to_owned();
    let refused = theatre.engine().refuse(slow, &reason).await;
    let rolled_back = Ok(Outcome::RolledBack { reason });
    assert_eq!(refused, rolled_back);
    assert_eq!(submitted.await.unwrap(), rolled_back);
}

/// What got stuck while a participant was away goes on by itself when it is back. Breaks without `log::come_back`.
#[tokio::test(flavor = "multi_thread")]
async fn what_got_stuck_for_one_that_was_away_goes_on_when_it_is_back() {
    let (theatre, coupons) = with_coupons(10, Style::Tcc).await;
    let visits: Vec<Transaction<Visit>> = (1..=6).map(visit).collect();
    coupons.always("confirm", Behaviour::Skip(Then::Reset));
    for visit in visits {
        theatre.engine().submit(visit).await.unwrap();
    }
    let recovery = theatre.recovery();
    eventually("one is stuck", SOON, || async {
        recover(&theatre, &recovery).await;
        (theatre.count("stuck_committing").await > 0).then_some(())
    })
    .await;
    coupons.always("confirm", Behaviour::Honest);
    eventually("all are told", SOON, || async {
        recover(&theatre, &recovery).await;
        (theatre.count("committed").await == 6).then_some(())
    })
    .await;
    at_peace(&coupons, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_nobody_knows_promises_nothing() {
    let theatre = Theatre::with_seats(1).await;
    let stranger = Theatre::visit_with(1, &["stranger"]);
    let gid = stranger.gid;
    let told = theatre.engine().submit(stranger).await;
    assert!(matches!(told, Err(SubmitError::NotPromised(_))), "{told:?}");
    assert_eq!(theatre.logged(gid).await.state, "begun");
    theatre.engine().roll_back(gid, None).await.unwrap();
    assert_eq!(theatre.logged(gid).await.state, "rolling_back");
}
