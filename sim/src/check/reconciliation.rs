use core::time::Duration;

use serf_proto::{Config, Stats};

use super::Finding;

/// Checks that anti-entropy costs a node no more than its rates, whatever others send: digests that always differ, answers
/// that never come or contradict each other. `age` is the time since the node was created, `unsettled` the number of
/// members that it remembers as different.
pub(crate) fn check(stats: &Stats, unsettled: usize, age: Duration, config: &Config) -> Option<Finding> {
    let per = |interval: Duration| u64::try_from(age.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u64::MAX);
    // One more than the rate: at both ends of the time.
    let begun = per(config.swim().probe_interval).saturating_add(1);
    let asked = per(config.swim().gossip_interval).saturating_add(1);
    let answered = (age.as_secs() + 1) * ANSWERS_PER_SEC + ANSWERS_BURST;
    let rows_a_packet = config.message_room() as u64 / ROW_BYTES_MIN;
    [
        ("reconciliations", stats.reconciliations, begun),
        ("questions for user events", stats.event_reconciliations, asked),
        ("answers to reconciliations", stats.reconciliations_answered, answered),
        ("rows", stats.rows_reconciled, answered * STATES_PACKETS_MAX * rows_a_packet),
        ("members that differ", unsettled as u64, UNSETTLED_MAX),
    ]
    .into_iter()
    .find(|(_, count, bound)| count > bound)
    .map(|(what, count, bound)| Finding::TooManyReconciliations { what, count, bound })
}

/// The rate of answers, and the burst above it. `docs/protocol.md` states these bounds and the next two.
const ANSWERS_PER_SEC: u64 = 16;
const ANSWERS_BURST: u64 = 32;

/// Packets of rows in one answer.
const STATES_PACKETS_MAX: u64 = 4;

/// Peers that are remembered as different.
const UNSETTLED_MAX: u64 = 32;

/// The least size of a row: state, incarnation, time, versions, name and address with their lengths.
const ROW_BYTES_MIN: u64 = 16;

#[cfg(test)]
mod tests {
    use serf_proto::Options;

    use super::*;

    #[test]
    fn each_cost_beyond_its_rate_is_found() {
        let config = Config::new(Options::lan()).unwrap();
        let age = Duration::from_secs(10);
        let mut stats = Stats::default();
        (stats.reconciliations, stats.event_reconciliations, stats.reconciliations_answered) = (11, 51, 32 + 11 * 16);
        assert_eq!(check(&stats, 32, age, &config), None, "at the bounds");
        for (what, change) in [
            ("reconciliations", (|stats| stats.reconciliations += 1) as fn(&mut Stats)),
            ("questions for user events", |stats| stats.event_reconciliations += 1),
            ("answers to reconciliations", |stats| stats.reconciliations_answered += 1),
            ("rows", |stats| stats.rows_reconciled = 1 << 40),
        ] {
            let mut stats = stats.clone();
            change(&mut stats);
            let finding = check(&stats, 32, age, &config);
            assert!(matches!(finding, Some(Finding::TooManyReconciliations { what: found, .. }) if found == what));
        }
        assert!(check(&stats, 33, age, &config).is_some());
    }
}
