//! Whoever guesses passwords is slowed down, and learns nothing on the way.

use accounts::{sessions, users};
use migrations::testing::database;
use migrations::{Database, PoolLimits};
use tokio::task::JoinSet;

use crate::common::{ELSEWHERE, HERE, RIGHT, WRONG, attempt, everything_stored, minute, second, user};

#[tokio::test]
async fn after_ten_wrong_passwords_the_right_one_is_refused_too_but_not_elsewhere() {
    let db = database().await;
    user(&db, "ann").await;
    user(&db, "bob").await;
    for n in 0..10 {
        assert_eq!(attempt(&db, "ann", WRONG, HERE, second(n)).await, "wrong");
    }
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, second(10)).await, "in 899 s");
    // The same address with another port, the same name in capitals: no way around.
    assert_eq!(attempt(&db, " ANN ", RIGHT, &format!("{HERE}:4711"), second(10)).await, "in 899 s");
    assert_eq!(attempt(&db, "ann", RIGHT, ELSEWHERE, second(11)).await, "ann");
    assert_eq!(attempt(&db, "bob", RIGHT, HERE, second(11)).await, "bob");
    // Being let in elsewhere opens nothing here.
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, second(12)).await, "in 897 s");

    // A restart of the process: another pool, and nothing remembered but what the database has.
    let restarted =
        Database::connect(db.owner_url(), PoolLimits { max_connections: 2, ..PoolLimits::default() })
            .await
            .unwrap();
    let refused = sessions::log_in(&restarted, "ann", RIGHT, HERE, second(13)).await.unwrap_err();
    assert_eq!(refused.to_string(), "too many attempts to log in: try again in 896 s");
    restarted.close();

    // Trying while it is closed does not keep it closed.
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, second(9 + 15 * 60 - 1)).await, "in 1 s");
    assert_eq!(attempt(&db, "ann", WRONG, HERE, second(9 + 15 * 60)).await, "wrong");
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, second(9 + 15 * 60)).await, "ann");
}

#[tokio::test]
async fn guesses_made_at_once_are_counted_one_by_one() {
    let db = database().await;
    user(&db, "ann").await;
    let mut all = JoinSet::new();
    for _ in 0..14 {
        let database = db.database();
        all.spawn(async move {
            sessions::log_in(&database, "ann", WRONG, HERE, minute(1)).await.unwrap_err().to_string()
        });
    }
    let outcomes = all.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "name or password is wrong").count(), 10);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.contains("try again in 900 s")).count(), 4);
}

#[tokio::test]
async fn an_unknown_name_is_told_and_counted_like_a_wrong_password() {
    let db = database().await;
    user(&db, "ann").await;
    let gone = user(&db, "gone").await;
    assert!(users::disable(&db, gone.id, minute(0)).await.unwrap());
    for name in ["ann", "nobody", "gone"] {
        for _ in 0..10 {
            assert_eq!(attempt(&db, name, WRONG, HERE, minute(1)).await, "wrong", "{name}");
        }
        assert_eq!(attempt(&db, name, WRONG, HERE, minute(1)).await, "in 900 s", "{name}");
    }
}

#[tokio::test]
async fn wrong_passwords_now_and_then_do_not_add_up_and_the_right_one_forgets_them() {
    let db = database().await;
    user(&db, "ann").await;
    for n in 0..9 {
        assert_eq!(attempt(&db, "ann", WRONG, HERE, second(n)).await, "wrong");
    }
    // The first nine were 15 minutes ago: a new count begins.
    for n in 0..9 {
        assert_eq!(attempt(&db, "ann", WRONG, HERE, minute(15 + n)).await, "wrong");
    }
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, minute(24)).await, "ann");
    for _ in 0..10 {
        assert_eq!(attempt(&db, "ann", WRONG, HERE, minute(25)).await, "wrong");
    }
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, minute(25)).await, "in 900 s");
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_close_the_door_for_longer() {
    let db = database().await;
    user(&db, "ann").await;
    for _ in 0..10 {
        attempt(&db, "ann", WRONG, HERE, minute(600)).await;
    }
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, minute(0)).await, "in 900 s");
}

#[tokio::test]
async fn a_new_password_opens_what_guesses_have_closed() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    for _ in 0..10 {
        attempt(&db, "ann", WRONG, HERE, minute(1)).await;
    }
    users::set_password(&db, ann.id, "another right one", minute(2)).await.unwrap();
    assert_eq!(attempt(&db, "ann", "another right one", HERE, minute(2)).await, "ann");
}

#[tokio::test]
async fn names_with_nul_markup_or_ten_kilobytes_are_wrong_and_leave_no_trace() {
    let db = database().await;
    user(&db, "ann").await;
    let (long_name, long_password) = ("a".repeat(10_000), "a".repeat(1025));
    for (name, password) in [
        ("ann\0", RIGHT),
        ("\0", RIGHT),
        ("<script>alert(1)</script>", RIGHT),
        ("ann' OR '1'='1", RIGHT),
        (long_name.as_str(), RIGHT),
        ("", RIGHT),
        ("ann", long_password.as_str()),
    ] {
        assert_eq!(attempt(&db, name, password, HERE, minute(1)).await, "wrong");
    }
    assert!(!everything_stored(&db).await.contains(HERE));
    // Odd passwords and addresses are only wrong, and counted.
    for (password, address) in [("", HERE), ("\0", HERE), ("a\0right password", "a\0b"), (RIGHT, "<b>\0")] {
        let expected = if password == RIGHT { "ann" } else { "wrong" };
        assert_eq!(attempt(&db, "ann", password, address, minute(1)).await, expected, "{password:?}");
    }
}
