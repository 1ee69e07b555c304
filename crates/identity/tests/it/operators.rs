//! Operators log in and out; there is always an admin; what is stored opens nothing.

use identity::{
    OperatorId, OperatorRole,
    operator_sessions::{self, SessionKind},
    operators::{self, NewOperator, NewPassword, OperatorError},
    passwords,
};
use sqlx::MySqlPool;
use std::time::Duration;
use testkit::eventually;

const PASSWORD: &str = "correct horse battery";
const HOUR: Duration = Duration::from_hours(1);

async fn new(username: &str, role: OperatorRole) -> NewOperator {
    let password = NewPassword::chosen(PASSWORD).await.unwrap();
    NewOperator::new(username, password, role).unwrap()
}

async fn made(db: &MySqlPool, username: &str, role: OperatorRole) -> OperatorId {
    let mut db = db.acquire().await.unwrap();
    operators::create(&mut db, &new(username, role).await)
        .await
        .unwrap()
}

async fn opened(db: &MySqlPool, operator: OperatorId, kind: SessionKind, ttl: Duration) -> String {
    let mut db = db.acquire().await.unwrap();
    operator_sessions::open(&mut db, operator, kind, ttl)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_operator_is_found_by_name_and_has_the_name_alone() {
    let schema = testkit::mysql::schema().await;
    assert!(!operators::any(&schema.pool).await.unwrap());
    let ann = made(&schema.pool, "ann", OperatorRole::Operator).await;
    assert!(operators::any(&schema.pool).await.unwrap());
    let found = operators::find_by_name(&schema.pool, "ANN").await.unwrap();
    let found = found.expect("ann is there");
    assert_eq!(
        (found.operator.id, found.operator.role),
        (ann, OperatorRole::Operator)
    );
    assert!(!found.operator.must_change);
    assert!(
        passwords::verify(PASSWORD, Some(&found.password_hash))
            .await
            .unwrap()
    );
    let mut db = schema.pool.acquire().await.unwrap();
    let again = operators::create(&mut db, &new("Ann", OperatorRole::Viewer).await).await;
    assert!(matches!(again, Err(OperatorError::Taken)));
    assert!(matches!(
        NewPassword::chosen("short").await,
        Err(OperatorError::Invalid(_))
    ));
    let password = NewPassword::chosen(PASSWORD).await.unwrap();
    assert!(matches!(
        NewOperator::new("a b", password, OperatorRole::Viewer),
        Err(OperatorError::Invalid(_))
    ));
}

#[tokio::test]
async fn a_generated_password_must_be_changed_and_ends_what_was_open() {
    let schema = testkit::mysql::schema().await;
    let ann = made(&schema.pool, "ann", OperatorRole::Viewer).await;
    let session = opened(&schema.pool, ann, SessionKind::Bearer, HOUR).await;
    let (password, text) = NewPassword::generated().await.unwrap();
    assert_eq!(text.len(), 20);
    let mut db = schema.pool.acquire().await.unwrap();
    operators::set_password(&mut db, ann, &password)
        .await
        .unwrap();
    let found = operators::find_by_name(&schema.pool, "ann").await.unwrap();
    let found = found.expect("ann is there");
    assert!(found.operator.must_change);
    assert!(
        passwords::verify(&text, Some(&found.password_hash))
            .await
            .unwrap()
    );
    assert!(
        operator_sessions::find(&schema.pool, &session, HOUR)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn the_last_admin_stays_whoever_asks_and_however_many_at_once() {
    let schema = testkit::mysql::schema().await;
    let ann = made(&schema.pool, "ann", OperatorRole::Admin).await;
    let bob = made(&schema.pool, "bob", OperatorRole::Admin).await;
    let act = async |who| {
        let mut tx = schema.pool.begin().await.unwrap();
        let outcome = operators::remove(&mut tx, who).await;
        tx.commit().await.unwrap();
        outcome
    };
    let (first, second) = tokio::join!(act(ann), act(bob));
    assert_eq!(
        [&first, &second]
            .iter()
            .filter(|outcome| outcome.is_ok())
            .count(),
        1,
        "{first:?}, {second:?}"
    );
    let left = operators::list(&schema.pool).await.unwrap();
    assert_eq!(left.len(), 1);
    let mut db = schema.pool.acquire().await.unwrap();
    let demoted = operators::set_role(&mut db, left[0].id, OperatorRole::Viewer).await;
    assert!(matches!(demoted, Err(OperatorError::LastAdmin)));
    made(&schema.pool, "eve", OperatorRole::Admin).await;
    operators::set_role(&mut db, left[0].id, OperatorRole::Viewer)
        .await
        .unwrap();
    assert!(matches!(
        operators::remove(&mut db, OperatorId::fresh()).await,
        Err(OperatorError::NotFound)
    ));
}

#[tokio::test]
async fn a_role_holds_from_the_next_request_on() {
    let schema = testkit::mysql::schema().await;
    let ann = made(&schema.pool, "ann", OperatorRole::Operator).await;
    let secret = opened(&schema.pool, ann, SessionKind::Web, HOUR).await;
    let mut db = schema.pool.acquire().await.unwrap();
    operators::set_role(&mut db, ann, OperatorRole::Viewer)
        .await
        .unwrap();
    let session = operator_sessions::find(&schema.pool, &secret, HOUR)
        .await
        .unwrap()
        .expect("it holds");
    assert_eq!(session.operator.role, OperatorRole::Viewer);
    assert_eq!((session.kind, session.csrf.len()), (SessionKind::Web, 64));
    operators::remove(&mut db, ann).await.unwrap();
    assert!(
        operator_sessions::find(&schema.pool, &secret, HOUR)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_log_in_ends_at_its_time_when_unused_or_when_told() {
    let schema = testkit::mysql::schema().await;
    let ann = made(&schema.pool, "ann", OperatorRole::Viewer).await;
    let holds = async |secret: &str, idle| {
        operator_sessions::find(&schema.pool, secret, idle)
            .await
            .unwrap()
            .is_some()
    };
    let web = opened(&schema.pool, ann, SessionKind::Web, HOUR).await;
    let bearer = opened(&schema.pool, ann, SessionKind::Bearer, HOUR).await;
    schema
        .execute("update operator_sessions set seen_at = utc_timestamp(3) - interval 50 second")
        .await;
    assert!(!holds(&web, Duration::from_secs(50)).await, "unused");
    assert!(
        holds(&bearer, Duration::from_secs(50)).await,
        "a script's ends when it said"
    );
    assert!(holds(&web, Duration::from_secs(80)).await);
    assert!(
        holds(&web, Duration::from_secs(5)).await,
        "it was just used"
    );
    let short = opened(
        &schema.pool,
        ann,
        SessionKind::Bearer,
        Duration::from_secs(1),
    )
    .await;
    eventually("its end", Duration::from_secs(10), async || {
        (!holds(&short, HOUR).await).then_some(())
    })
    .await;
    let mut db = schema.pool.acquire().await.unwrap();
    operator_sessions::end(&mut db, &web).await.unwrap();
    assert!(!holds(&web, HOUR).await);
    assert!(holds(&bearer, HOUR).await);
    assert!(!holds("", HOUR).await);
}

#[tokio::test]
async fn what_is_stored_is_no_secret() {
    let schema = testkit::mysql::schema().await;
    let ann = made(&schema.pool, "ann", OperatorRole::Viewer).await;
    let secret = opened(&schema.pool, ann, SessionKind::Web, HOUR).await;
    let (hash, csrf): (String, String) =
        sqlx::query_as("select lower(hex(token_hash)), csrf from operator_sessions")
            .fetch_one(&schema.pool)
            .await
            .unwrap();
    assert_eq!(secret.len(), 64);
    assert!(hash != secret && csrf != secret);
    assert!(
        operator_sessions::find(&schema.pool, &hash, HOUR)
            .await
            .unwrap()
            .is_none()
    );
}
