//! A form with a file in it, as a browser sends it (RFC 7578). How large it may be is said where it is routed.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::Multipart;

use crate::error::{Code, Error, Result};

/// What was sent.
pub(super) struct Upload {
    /// What was typed or chosen beside the file, by its name.
    typed: BTreeMap<String, String>,
    /// What the file is called where it came from, without its end.
    pub(super) stem: String,
    /// The file.
    pub(super) bytes: Bytes,
}

impl Upload {
    /// Reads it; the file is the field `file`.
    ///
    /// # Errors
    /// `code`, if it did not come whole or has no file.
    pub(super) async fn read(mut form: Multipart, code: Code) -> Result<Self> {
        let broken = || Error::new(code, "the file did not come whole");
        let (mut typed, mut file) = (BTreeMap::new(), None);
        while let Some(field) = form.next_field().await.map_err(|_| broken())? {
            let Some(name) = field.name().map(str::to_owned) else {
                continue;
            };
            if name == "file" {
                let called = field.file_name().unwrap_or_default().to_owned();
                file = Some((called, field.bytes().await.map_err(|_| broken())?));
            } else {
                typed.insert(name, field.text().await.map_err(|_| broken())?);
            }
        }
        let (called, bytes) = file.ok_or_else(broken)?;
        let stem = called.rsplit_once('.').map_or("", |(stem, _)| stem);
        Ok(Self {
            typed,
            stem: stem.to_owned(),
            bytes,
        })
    }

    /// What was typed or chosen under a name, without space around it; nothing where nothing was.
    pub(super) fn typed(&self, name: &str) -> &str {
        self.typed.get(name).map_or("", |text| text.trim())
    }

    /// Whether a box was ticked.
    pub(super) fn has(&self, name: &str) -> bool {
        self.typed.contains_key(name)
    }
}
