//! Accounts are made once, found by name or address, and never made of bad input.

use identity::{
    Role, UserId, passwords,
    users::{self, CreateError, NewUser},
};

const PASSWORD: &str = "correct horse battery";

fn joe() -> NewUser<'static> {
    NewUser {
        username: "joe",
        email: "joe@example.org",
        password: PASSWORD,
        role: Role::Buyer,
    }
}

#[tokio::test]
async fn an_account_is_found_by_its_name_its_address_and_its_id() {
    let schema = testkit::mysql::schema().await;
    let made = users::create(&schema.pool, joe()).await.unwrap();
    for login in ["joe", "JOE", "joe@example.org", "Joe@Example.org"] {
        let found = users::find_by_login(&schema.pool, login)
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("nobody is {login}"));
        assert_eq!(
            (found.id, found.role, found.created_at),
            (made.id, Role::Buyer, made.created_at)
        );
        assert_eq!(
            (found.username.as_str(), found.email.as_str()),
            ("joe", "joe@example.org")
        );
        assert!(
            passwords::verify(PASSWORD, Some(&found.password_hash))
                .await
                .unwrap()
        );
    }
    assert!(users::find(&schema.pool, made.id).await.unwrap().is_some());
    for nobody in ["joe2", "joe@example.com", "", "joe' or '1'='1"] {
        assert!(
            users::find_by_login(&schema.pool, nobody)
                .await
                .unwrap()
                .is_none(),
            "{nobody}"
        );
    }
    assert!(
        users::find(&schema.pool, UserId::fresh())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_name_or_address_is_given_once_however_many_ask_for_it_at_once() {
    let schema = testkit::mysql::schema().await;
    let (first, second, third, fourth) = tokio::join!(
        users::create(&schema.pool, joe()),
        users::create(
            &schema.pool,
            NewUser {
                email: "joe2@example.org",
                ..joe()
            }
        ),
        users::create(
            &schema.pool,
            NewUser {
                username: "Joe",
                email: "joe3@example.org",
                ..joe()
            }
        ),
        users::create(
            &schema.pool,
            NewUser {
                username: "joseph",
                email: "JOE@example.org",
                ..joe()
            }
        ),
    );
    let outcomes = [first, second, third, fourth];
    assert!(outcomes.iter().any(Result::is_ok));
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(_) | Err(CreateError::Taken)))
    );
    let by_name = users::create(
        &schema.pool,
        NewUser {
            username: "JOE",
            email: "new@example.org",
            ..joe()
        },
    )
    .await;
    assert!(matches!(by_name, Err(CreateError::Taken)));
    let names: Vec<String> = sqlx::query_scalar("select lower(username) from users")
        .fetch_all(&schema.pool)
        .await
        .unwrap();
    assert!(
        names.len() <= 2 && names.iter().filter(|name| *name == "joe").count() == 1,
        "{names:?}"
    );
}

#[tokio::test]
async fn bad_input_makes_no_account() {
    let schema = testkit::mysql::schema().await;
    for bad in [
        NewUser {
            username: "jo",
            ..joe()
        },
        NewUser {
            username: "joe@example.org",
            ..joe()
        },
        NewUser {
            email: "joe",
            ..joe()
        },
        NewUser {
            password: "1234567",
            ..joe()
        },
    ] {
        assert!(matches!(
            users::create(&schema.pool, bad).await,
            Err(CreateError::Invalid(_))
        ));
    }
    let count: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&schema.pool)
        .await
        .unwrap();
    assert_eq!(count, 0);
}
