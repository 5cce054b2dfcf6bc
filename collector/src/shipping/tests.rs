//! Sinks that are away, forgetful, choosy, contradictory and hostile.

use std::collections::VecDeque;
use std::sync::Mutex;

use jiff::Timestamp;
use metering::{BootId, NoticeKind, Readings};
use uuid::Uuid;

use super::*;
use crate::tracker::State;

type Answer = fn(BatchSeq) -> Result<Receipt, SinkError>;

/// Answers as its script says, then takes everything; keeps what it was given, and stops at a number.
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    seen: Arc<Mutex<Vec<(u64, u64)>>>,
    last: u64,
    stop: watch::Sender<bool>,
}

impl Sink for Script {
    async fn deliver(&self, parcel: Parcel) -> Result<Receipt, SinkError> {
        let seq = parcel.batch.seq;
        self.seen.lock().unwrap().push((seq.0, parcel.after.0));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(taken)(seq);
        if answer.is_ok() && seq.0 == self.last && self.answers.lock().unwrap().is_empty() {
            self.stop.send_replace(true);
        }
        answer
    }
}

fn taken(seq: BatchSeq) -> Result<Receipt, SinkError> {
    Ok(Receipt { known_until: seq, covered_until: BatchSeq(0) })
}

fn away(_: BatchSeq) -> Result<Receipt, SinkError> {
    Err(SinkError::Away("the other side is away".into()))
}

fn refused(_: BatchSeq) -> Result<Receipt, SinkError> {
    Err(SinkError::Refused { reason: "its node is another one".to_owned() })
}

fn knows_one(_: BatchSeq) -> Result<Receipt, SinkError> {
    Err(SinkError::Behind { known_until: BatchSeq(1) })
}

fn contradicts(_: BatchSeq) -> Result<Receipt, SinkError> {
    Ok(Receipt { known_until: BatchSeq(0), covered_until: BatchSeq(0) })
}

fn commit(spool: &Spool) {
    let batch = Batch {
        node_id: spool.node_id(),
        seq: BatchSeq(0),
        node_name: "node".into(),
        boot_id: BootId::from_uuid(Uuid::nil()),
        collected_at: Timestamp::UNIX_EPOCH,
        collected_boot: None,
        readings: Readings::default(),
        gaps: Vec::new(),
        instances: Vec::new(),
        volumes: Vec::new(),
        notices: Vec::new(),
    };
    spool.commit(batch, &State::new(Uuid::nil())).unwrap();
}

/// Ships `batches` to a sink with that script. `expected`: what it sees, as (number, acknowledged before).
async fn check(batches: u64, answers: &[Answer], expected: &[(u64, u64)]) -> (tempfile::TempDir, Spool) {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    (0..batches).for_each(|_| commit(&spool));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = watch::channel(false);
    let answers = Mutex::new(answers.iter().copied().collect());
    let sink = Script { answers, seen: Arc::clone(&seen), last: batches, stop };
    ship(spool.clone(), Arc::new(Notify::new()), sink, stopped).await;
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(spool.backlog().unwrap().batches, 0);
    (dir, spool)
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_away_or_contradicts_itself_is_sent_the_same_batch_until_it_takes_it() {
    let (_dir, spool) = check(2, &[away, away, contradicts], &[(1, 0), (1, 0), (1, 0), (1, 0), (2, 1)]).await;
    assert_eq!(spool.summary().unwrap().kept.batches, 2, "no backup covers them");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_was_restored_from_a_backup_is_sent_what_it_lost_oldest_first() {
    let expected = [(1, 0), (2, 1), (3, 2), (4, 3), (2, 1), (3, 2), (4, 3)];
    check(4, &[taken, taken, taken, knows_one], &expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_says_behind_and_has_what_it_acknowledged_is_waited_for() {
    check(2, &[taken, knows_one, knows_one], &[(1, 0), (2, 1), (2, 1), (2, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_refused_for_good_is_set_aside_and_the_next_ones_go_on() {
    let (_dir, spool) = check(3, &[taken, refused], &[(1, 0), (2, 1), (3, 1)]).await;
    let summary = spool.summary().unwrap();
    assert_eq!(summary.refused.len(), 1);
    assert_eq!(summary.refused[0].seq, BatchSeq(2));
    commit(&spool);
    let batch = spool.oldest().unwrap().unwrap();
    assert_eq!(batch.notices.len(), 1);
    assert_eq!(batch.notices[0].kind, NoticeKind::BatchRefused);
    assert!(batch.notices[0].detail.contains("its node is another one"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_barred_holds_everything_and_asks_seldom() {
    fn barred(_: BatchSeq) -> Result<Receipt, SinkError> {
        Err(SinkError::Barred { reason: "it was removed".to_owned() })
    }
    let begin = tokio::time::Instant::now();
    check(1, &[barred, barred], &[(1, 0), (1, 0), (1, 0)]).await;
    assert!(BARRED_WAIT <= begin.elapsed(), "two waits of at least half of it each");
}

#[tokio::test]
async fn a_new_batch_wakes_the_loop() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let wake = Arc::new(Notify::new());
    let sink = Script { answers: Mutex::default(), seen: Arc::default(), last: 1, stop };
    let shipping = tokio::spawn(ship(spool.clone(), Arc::clone(&wake), sink, stopped));
    tokio::task::yield_now().await;
    commit(&spool);
    wake.notify_one();
    shipping.await.unwrap();
    assert_eq!(spool.backlog().unwrap().batches, 0);
}

#[test]
fn a_sink_that_stays_away_is_asked_ever_less_often_but_never_given_up() {
    assert_eq!(backoff(1, 0), FIRST_WAIT);
    assert_eq!(backoff(3, 0), FIRST_WAIT * 4);
    assert_eq!(backoff(u32::MAX, 0), MAX_WAIT);
    assert!(MAX_WAIT / 2 <= backoff(u32::MAX, 255));
}
