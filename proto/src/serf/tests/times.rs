use super::*;
use crate::serf::Question;
use crate::types::QueryId;
use crate::wire::serf::QueryResponse;

const ACK: u32 = 1;
const ANSWER: u32 = 0;

impl Lone {
    fn reply(&mut self, to: QueryId, from: &str, flags: u32) {
        let response = QueryResponse { ltime: to.ltime, id: to.id, from, flags, payload: b"" };
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::QueryResponse(response)));
    }

    fn beacon(&mut self) -> QueryId {
        self.serf.query(&mut self.core, &Question::new("_serf_ping").with_acks()).unwrap()
    }

    /// Number and sum of the times per member, the same until all had acked, and the number of those that had not.
    fn disseminations(&self) -> (u64, Duration, u64, Duration, u64) {
        let (each, all) = (&self.core.stats.dissemination_times, &self.core.stats.dissemination_all_times);
        (each.count(), each.sum(), all.count(), all.sum(), self.core.stats.disseminations_incomplete)
    }

    /// Number and sum of the waits in a queue.
    fn waits(&self, queue: &str) -> (u64, Duration) {
        let (_, waits) = self.serf.waits().into_iter().find(|(name, _)| *name == queue).unwrap();
        (waits.count(), waits.sum())
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn each_other_members_ack_is_timed_and_the_last_one_is_the_time_until_all() {
    let mut lone = Lone::lan(&["b", "c"]);
    let id = lone.beacon();
    assert_eq!(lone.disseminations(), (0, ms(0), 0, ms(0), 0), "our own ack is no dissemination");
    lone.run(ms(100));
    lone.reply(id, "b", ACK);
    lone.run(ms(50));
    lone.reply(id, "b", ACK);
    lone.reply(id, "stranger", ACK);
    assert_eq!(lone.disseminations(), (1, ms(100), 0, ms(0), 0));
    lone.reply(id, "c", ACK);
    lone.run(secs(60));
    assert_eq!(lone.disseminations(), (2, ms(250), 1, ms(150), 0));
}

#[test]
fn an_answer_whose_ack_was_lost_is_not_timed_because_it_waited_for_a_handler() {
    let mut lone = Lone::lan(&["b", "c"]);
    let id = lone.beacon();
    lone.run(ms(100));
    lone.reply(id, "b", ANSWER);
    lone.reply(id, "c", ACK);
    lone.run(secs(60));
    assert_eq!(lone.disseminations(), (1, ms(100), 0, ms(0), 0));
}

#[test]
fn a_query_that_ends_without_all_acks_is_counted_unless_it_was_abandoned() {
    let mut lone = Lone::lan(&["b", "c"]);
    let id = lone.beacon();
    lone.reply(id, "b", ACK);
    let abandoned = lone.beacon();
    assert!(lone.serf.cancel_query(&mut lone.core, abandoned));
    // Without acks nothing is measured.
    lone.serf.query(&mut lone.core, &Question::new("q")).unwrap();
    lone.run(secs(60));
    assert_eq!(lone.disseminations(), (1, ms(0), 0, ms(0), 1));
}

#[test]
fn a_member_that_fails_before_its_ack_neither_ends_the_measurement_nor_counts_as_silent() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    let id = lone.beacon();
    lone.gone("b");
    lone.run(ms(100));
    lone.reply(id, "c", ACK);
    lone.reply(id, "d", ACK);
    assert_eq!(lone.disseminations(), (2, ms(200), 1, ms(100), 0));
    let id = lone.beacon();
    lone.reply(id, "c", ACK);
    lone.run(ms(100));
    lone.gone("d");
    lone.run(secs(60));
    assert_eq!(lone.disseminations(), (3, ms(200), 1, ms(100), 0), "its failure was noticed later than the last ack");
}

#[test]
fn the_first_transmission_of_an_event_a_query_and_an_intent_ends_its_wait() {
    let mut lone = Lone::lan(&["b"]);
    lone.packet();
    let before = ["intents", "queries", "events"].map(|queue| lone.waits(queue));
    lone.serf.user_event(&mut lone.core, "deploy", b"", false).unwrap();
    lone.beacon();
    lone.hear_leave("b", 9);
    lone.run(ms(70));
    lone.packet();
    lone.run(ms(50));
    lone.packet();
    for (queue, (count, sum)) in ["intents", "queries", "events"].into_iter().zip(before) {
        assert_eq!(lone.waits(queue), (count + 1, sum + ms(70)), "{queue}");
    }
}

#[test]
fn what_a_lone_node_has_queued_is_not_timed() {
    let mut lone = Lone::lan(&[]);
    lone.serf.user_event(&mut lone.core, "deploy", b"", false).unwrap();
    lone.run(secs(30));
    lone.alive("b");
    lone.packet();
    assert_eq!(lone.waits("events"), (0, ms(0)));
}
