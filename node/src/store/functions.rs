//! What SQL is taught: to look into packed rows, and for a text in the payload of a part.
//!
//! Texts are folded as they are looked at.
//!
//! Rejected: a folded copy of each text. It would be a second thing to erase, and make a store half as large again.

use lianxin_protocol::{part, text};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::packed;
use crate::error::Result;

/// Whether some text in the payload of a part has a text in it that is [`folded`](text::folded) already: `part_says(payload, text)`.
pub(crate) const PART_SAYS: &str = "part_says";

/// Teaches a connection [`PART_SAYS`], and `unpacked(row)`, which is a blob, or nothing where [`packed::unpack`] gives nothing.
///
/// # Errors
/// The database does not take it.
pub(super) fn teach(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(PART_SAYS, 2, flags, |context| {
        let payload = context.get_raw(0).as_blob_or_null()?;
        let payload = payload.and_then(packed::unpack);
        let wanted = context.get_raw(1).as_str()?;
        Ok(payload.is_some_and(|payload| {
            part::any_text(&payload, |held| text::folded(held).contains(wanted))
        }))
    })?;
    connection.create_scalar_function("unpacked", 1, flags, |context| {
        Ok(context
            .get_raw(0)
            .as_blob_or_null()?
            .and_then(packed::unpack))
    })?;
    Ok(())
}
