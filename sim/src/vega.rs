//! A Vega-Lite specification of results, for those who draw charts of their own.

use serde_json::{Map, Value, json};

use crate::page;
use crate::results::{Parameter, Results};

/// Returns a specification that draws one metric over the first varied parameter, with the metrics of all runs as its data. Phase,
/// metric and axis are parameters of the specification.
pub(crate) fn specification(runs: &[Results]) -> String {
    let varied = page::varied(runs);
    let mut values = Vec::new();
    for run in runs {
        for metric in run.metrics().filter(|metric| metric.value.is_some() && metric.labels.is_empty()) {
            let mut row = Map::new();
            for (key, value) in run.header.parameters.iter().filter(|(key, _)| varied.contains(key)) {
                // A dot would be a path into an object.
                if !matches!(value, Parameter::List(_)) {
                    row.insert(key.replace('.', "_"), json!(value));
                }
            }
            row.insert("scenario".into(), json!(run.header.scenario));
            row.insert("seed".into(), json!(run.header.seed));
            row.insert("nodes".into(), json!(run.header.nodes_count));
            row.insert("phase".into(), json!(metric.phase));
            row.insert("metric".into(), json!(metric.name));
            row.insert("value".into(), json!(metric.value));
            values.push(Value::Object(row));
        }
    }
    let x = varied.first().map_or_else(|| "seed".to_owned(), |key| key.replace('.', "_"));
    let (phase, metric) = first_time(runs);
    let filter = format!("datum.phase === {} && datum.metric === {}", json!(phase), json!(metric));
    let encoding = |y: Value| json!({ "x": { "field": x, "title": x }, "y": y });
    let spec = json!({
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": "Another metric: change the filter. All metrics of all runs are in the data.",
        "data": { "values": values },
        "transform": [{ "filter": filter }],
        "width": 500,
        "height": 300,
        "layer": [
            {
                "mark": { "type": "errorband", "extent": "ci" },
                "encoding": encoding(json!({ "field": "value", "type": "quantitative", "title": metric })),
            },
            {
                "mark": { "type": "line", "point": true },
                "encoding": encoding(json!({ "field": "value", "type": "quantitative", "aggregate": "median" })),
            },
        ],
    });
    format!("{spec:#}\n")
}

/// The first time until 99 % had noticed, or else the first metric.
fn first_time(runs: &[Results]) -> (String, String) {
    let all = || runs.iter().flat_map(|run| run.metrics()).filter(|metric| metric.labels.is_empty());
    let time = all()
        .find(|metric| metric.name.contains("p99") && metric.name.ends_with("_s") && !metric.name.ends_with("_per_s"));
    let metric = time.or_else(|| all().next());
    metric.map(|metric| (metric.phase.clone(), metric.name.clone())).unwrap_or_default()
}
