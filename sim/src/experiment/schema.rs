//! The JSON schema of scenario files, for editors.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::file::File;

/// Returns the schema. Any property with a single value may also be a list or a range: an axis of a sweep.
pub(crate) fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>().to_value();
    if let Some(definitions) = schema.pointer_mut("/$defs").and_then(Value::as_object_mut) {
        definitions.values_mut().for_each(allow_axes);
    }
    allow_axes(&mut schema);
    if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
        let seeds = json!({
            "description": "Seeds of the runs of each combination: a number, a list, or a range such as \"1..=20\". Default: 1.",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "array", "items": { "type": "integer" } }, range()],
        });
        properties.insert("seeds".to_owned(), seeds);
    }
    schema
}

/// Allows lists and ranges for the properties of an object that are no objects or lists themselves.
fn allow_axes(object: &mut Value) {
    let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties.iter_mut() {
        let is_list_or_table = property.get("type").is_some_and(|kind| kind == "array" || kind == "object");
        let refers = |value: &Value| {
            let target = value.get("$ref").and_then(Value::as_str).unwrap_or_default();
            TABLES.iter().any(|table| target.ends_with(&format!("/{table}")))
        };
        let is_table = refers(property)
            || property.get("anyOf").and_then(Value::as_array).is_some_and(|any| any.iter().any(refers));
        if is_list_or_table || is_table || ["name", "about"].contains(&name.as_str()) {
            continue;
        }
        let description = property.as_object_mut().and_then(|object| object.remove("description"));
        let single = property.clone();
        *property = json!({ "anyOf": [single.clone(), { "type": "array", "items": single }, range()] });
        if let Some(description) = description {
            property["description"] = description;
        }
    }
}

fn range() -> Value {
    json!({ "type": "string", "pattern": r"^-?[0-9.]+ *\.\.= *-?[0-9.]+( *step *[0-9.]+)?$", "examples": ["1..=20", "0..=0.3 step 0.1"] })
}

/// Tables of the file; all other references are single values.
const TABLES: [&str; 5] = ["Cluster", "Network", "Settings", "PhaseTable", "Burst"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_documents_every_key_and_allows_axes() {
        let schema = schema();
        let loss = &schema["$defs"]["Network"]["properties"]["loss"];
        assert!(loss["description"].as_str().is_some_and(|text| text.contains("lost")), "{loss}");
        assert!(loss["anyOf"].as_array().is_some_and(|any| any.iter().any(|kind| kind["type"] == "array")), "{loss}");
        let undocumented = |(name, object): (&String, &Value)| {
            let properties = object["properties"].as_object().cloned().unwrap_or_default();
            properties
                .iter()
                .filter(|(_, property)| property["description"].is_null())
                .map(|(key, _)| format!("{name}.{key}"))
                .collect::<Vec<_>>()
        };
        let definitions = schema["$defs"].as_object().expect("there are tables");
        let missing: Vec<String> = definitions.iter().flat_map(undocumented).collect();
        assert_eq!(missing, Vec::<String>::new());
        assert!(schema["$defs"]["Network"]["additionalProperties"] == false, "{}", schema["$defs"]["Network"]);
    }
}
