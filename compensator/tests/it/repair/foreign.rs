//! Orders with a participant outside, which fails to do its part: what is decided is told of and goes on, what is not decided is taken
//! back.

use crate::world::{SOON, World};
use compensation::archive::{self, transaction};
use compensator::schedule::Scan as _;
use coordinator::Gid;
use ordering::{OrderOutcome, engine::OrderEngine, foreign::Foreign};
use service_kit::settings::Settings;
use testkit::{
    eventually,
    foreign_participant::{Behaviour, ForeignParticipant, Then},
};
use tokio::sync::Mutex;

impl World {
    /// Every order has a coupon; a transaction is stuck after two attempts.
    fn with_coupons(&self, coupons: &ForeignParticipant) -> Settings {
        let more = format!(
            "participants: [{{ name: coupon, style: tcc, url: \"{}\", sales: all, timeout_ms: 5000, breaker_failures: 1000 }}]\n\
             transaction: {{ retry_policy: {{ max_attempts: 2, first_wait_ms: 50 }} }}\n",
            coupons.url()
        );
        self.settings(&[], &more)
    }

    fn engine_of(&self, settings: &Settings) -> OrderEngine {
        let foreign = Foreign::from_settings(&settings.participants).unwrap();
        OrderEngine::of_process(settings, self.stock.clone(), foreign)
    }

    async fn state(&self, gid: Gid) -> String {
        sqlx::query_scalar("select state from transactions where gid = ?")
            .bind(gid)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    /// Completes whatever is due, until the transaction is in `state`.
    async fn until(&self, settings: &Settings, gid: Gid, state: &str) {
        let scans = Mutex::new(self.scans_with(settings).await);
        // What the engine decided is left to it for 5 s.
        self.schema
            .execute("update transactions set due_at = utc_timestamp(3) where state in ('committing', 'rolling_back')")
            .await;
        eventually(&format!("it is {state}"), SOON, || async {
            scans.lock().await.unfinished.run_once().await.unwrap();
            (self.state(gid).await == state).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_that_is_never_confirmed_is_listed_and_confirmed_once_it_can_be() {
    let (world, sale) = World::open(10).await;
    let coupons = ForeignParticipant::start().await;
    coupons.always("confirm", Behaviour::Skip(Then::Status(500)));
    let settings = world.with_coupons(&coupons);
    let engine = world.engine_of(&settings);
    let order = world.reserve(sale).await;
    let outcome = engine.submit(order.clone()).await;
    assert_eq!(outcome, Ok(OrderOutcome::Confirmed));
    engine.drain().await;
    world.until(&settings, order.gid, "stuck_committing").await;
    let repair = world.repair(&settings).await;
    assert_eq!(repair.stuck.run_batch().await.unwrap(), 1);
    let id = transaction::id_of(order.gid.as_uuid());
    let row = archive::find(&world.schema.pool, id)
        .await
        .unwrap()
        .unwrap();
    let kept = archive::message(&world.schema.pool, &row).await.unwrap();
    let known = transaction::StuckTransaction::read(&kept.headers).unwrap();
    assert_eq!(
        known.uncompensated.len(),
        1,
        "the stock has done its part: {known:?}"
    );
    assert_eq!(known.uncompensated[0].participant, "coupon");
    assert!(row.history.attempts().iter().any(|call| {
        call.worker == "coupon"
            && call
                .error
                .as_deref()
                .is_some_and(|it| it.starts_with("confirm"))
    }));
    world.until_units(sale, (9, 0, 1)).await;
    assert_eq!((coupons.reserved(), coupons.used()), (1, 0));

    coupons.always("confirm", Behaviour::Honest);
    coordinator::resume(&mut world.schema.pool.acquire().await.unwrap(), order.gid)
        .await
        .unwrap();
    world.until(&settings, order.gid, "committed").await;
    world.scans().await.completed.run_once().await.unwrap();
    let row = archive::find(&world.schema.pool, id)
        .await
        .unwrap()
        .unwrap();
    assert!(row.handled);
    assert_eq!(coupons.used_by(order.gid.as_uuid()), 1);
    assert_eq!(coupons.broken_rules(), [""; 0]);
}

/// As a process leaves it that died after its coupon was reserved; and then the coupon service does not answer whoever asks again.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_coupon_cannot_be_had_is_given_up_and_takes_its_promise_back() {
    let (world, sale) = World::open(10).await;
    let coupons = ForeignParticipant::start().await;
    coupons.always("try", Behaviour::Apply(Then::Status(500)));
    let settings = world.with_coupons(&coupons);
    let engine = world.engine_of(&settings);
    let order = world.reserve(sale).await;
    assert!(engine.submit(order.clone()).await.is_err());
    engine.drain().await;
    assert_eq!(world.state(order.gid).await, "begun");
    assert_eq!(coupons.reserved(), 1);

    let repair = world.repair(&settings).await;
    assert_eq!(
        repair.undecided.run_batch().await.unwrap(),
        0,
        "it is young"
    );
    world
        .schema
        .execute("update transactions set due_at = utc_timestamp(3) - interval 1 second where state = 'begun'")
        .await;
    assert_eq!(repair.undecided.run_batch().await.unwrap(), 1);
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "failed");
    assert!(world.archived(&order).await.is_some());
    world.until(&settings, order.gid, "rolled_back").await;
    eventually("its coupon is free again", SOON, || async {
        (coupons.reserved() == 0).then_some(())
    })
    .await;
    world.until_units(sale, (10, 0, 0)).await;
    assert_eq!(coupons.used(), 0);
    assert_eq!(coupons.broken_rules(), [""; 0]);
}

/// What the admin's rollback leaves in the queue: no try was made, and the archive decides, also where archived orders keep their
/// units. Breaks when the archive does not look at who gave it up.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_an_operator_rolls_back_is_archived_with_its_units_and_its_coupon_given_back() {
    use compensation::{attempt::History, headers::Headers, queue, state::State};
    let (world, sale) = World::open(10).await;
    let coupons = ForeignParticipant::start().await;
    coupons.always("try", Behaviour::Apply(Then::Status(500)));
    let mut settings = world.with_coupons(&coupons);
    settings.dlq.hold_stock = true;
    let engine = world.engine_of(&settings);
    let order = world.reserve(sale).await;
    assert!(engine.submit(order.clone()).await.is_err());
    engine.drain().await;
    let work = queue::NewWork {
        gid: order.gid.as_uuid(),
        kind: "order",
        order_id: order.order_id.as_uuid(),
        generation: 0,
        sale_id: sale.as_uuid(),
        user_id: order.user_id.as_uuid(),
        state: State::Archiving,
        attempts: 0,
        due_after: std::time::Duration::ZERO,
        payload: order.to_bytes(),
        headers: Headers::default(),
        history: History::default(),
        error: Some("rolled back by an operator".to_owned()),
    };
    let mut tx = world.schema.pool.begin().await.unwrap();
    assert!(queue::enqueue(&mut tx, &work).await.unwrap());
    let stands = queue::give_up(&mut tx, work.gid).await.unwrap();
    assert_eq!(stands, Some(State::Archiving));
    tx.commit().await.unwrap();
    let repair = world.repair(&settings).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "failed");
    let archived = world.archived(&order).await.unwrap();
    assert_eq!(archived.error, "rolled back by an operator");
    assert_eq!(world.alerts(&order.order_id.to_string()).await.len(), 1);
    world.until(&settings, order.gid, "rolled_back").await;
    world.until_units(sale, (10, 0, 0)).await;
    assert_eq!((coupons.reserved(), coupons.used()), (0, 0));
}
