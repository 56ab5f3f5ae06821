//! `config`: what is set, where, and whether it can be used.

use std::path::Path;

use serde_json::json;

use super::{ConfigVerb, Output};
use crate::config::{Config, Overrides};
use crate::error::Result;
use crate::reply::{Reply, with_schema};

pub(super) fn run(verb: &ConfigVerb, data: Option<&Path>, output: Output) -> Result<u8> {
    let all = || Config::load(data, &Overrides::default());
    let value = match verb {
        ConfigVerb::Show => {
            let config = all()?;
            let values: Vec<_> = config
                .entries()
                .map(|entry| {
                    json!({
                        "key": entry.key,
                        "value": entry.value,
                        "origin": entry.origin.layer(),
                        "from": entry.origin.to_string(),
                    })
                })
                .collect();
            with_schema(
                "lianxin.config-show/1",
                json!({
                    "data": data.map(|data| data.display().to_string()),
                    "files": files(&config),
                    "values": values,
                }),
            )
        }
        ConfigVerb::Validate { file } => {
            let config = file.as_deref().map_or_else(all, Config::read)?;
            let set = config.entries().filter(|it| it.origin.layer() != "default");
            with_schema(
                "lianxin.config-validate/1",
                json!({ "files": files(&config), "set": set.count() }),
            )
        }
    };
    output.print(&Reply { value, exit: 0 })
}

fn files(config: &Config) -> Vec<String> {
    let files = config.files().iter();
    files.map(|path| path.display().to_string()).collect()
}
