//! The network of a fixture's case.

use elbo::networks::NetworkConfig;
use serde_json::Value;

use super::fixture::text;

/// The `[network]` table of a case, less the keys that belong to other kinds.
pub fn network(case: &Value) -> NetworkConfig {
    let mut table = case["network"].as_object().expect("a table").clone();
    match text(&case["network"]["kind"]) {
        "conv" => table.remove("blocks"),
        "resnet" => table.remove("kernel"),
        _ => None,
    };
    serde_json::from_value(table.into()).expect("a valid network")
}
