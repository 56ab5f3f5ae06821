//! What every command gives: one JSON object that begins with its schema, and an exit code.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a command gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// One JSON object; its first key is `schema`.
    pub value: Value,
    /// 0, or 1 when something needs attention, or 2 or 3 (CONTRACT).
    pub exit: u8,
}

impl Reply {
    /// Everything went well.
    #[must_use]
    pub fn ok(value: Value) -> Self {
        Self { value, exit: 0 }
    }
}

/// Puts the schema first, as CONTRACT has it.
#[must_use]
pub fn with_schema(schema: &str, value: Value) -> Value {
    let Value::Object(fields) = value else {
        return json!({ "schema": schema, "value": value });
    };
    let mut object = Map::new();
    object.insert("schema".to_owned(), json!(schema));
    object.extend(fields.into_iter().filter(|(key, _)| key != "schema"));
    Value::Object(object)
}
