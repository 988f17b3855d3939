//! `data.csv`: all metrics of all runs, one per row.

use std::collections::BTreeSet;

use crate::results::Results;

/// Returns the metrics of all runs as comma-separated values: one row per run and metric, and a column for each
/// parameter that a sweep varies.
pub(crate) fn csv(runs: &[Results]) -> Result<Vec<u8>, String> {
    let varied: BTreeSet<&String> = runs.iter().flat_map(|run| &run.header.varied).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["scenario", "configuration", "seed"].into_iter().chain(varied.iter().map(|key| key.as_str()));
    let row: Vec<&str> = head.chain(["phase", "metric", "labels", "value"]).collect();
    writer.write_record(&row).map_err(|error| error.to_string())?;
    for run in runs {
        let header = &run.header;
        let mut start = vec![header.scenario.clone(), header.configuration.clone(), header.seed.to_string()];
        let value = |key: &&String| header.parameters.get(*key).map(ToString::to_string).unwrap_or_default();
        start.extend(varied.iter().map(value));
        for metric in run.metrics() {
            let labels: Vec<String> = metric.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let value = metric.value.map(|value| value.to_string()).unwrap_or_default();
            let rest = [metric.phase.clone(), metric.name.clone(), labels.join(" "), value];
            writer.write_record(start.iter().chain(&rest)).map_err(|error| error.to_string())?;
        }
    }
    writer.into_inner().map_err(|error| error.to_string())
}
