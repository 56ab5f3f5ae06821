//! What SQL is taught: to look into packed rows.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::packed;
use crate::error::Result;

/// Teaches a connection `unpacked(row)`, which is a blob, or nothing where [`packed::unpack`] gives nothing.
///
/// # Errors
/// The database does not take it.
pub(super) fn teach(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("unpacked", 1, flags, |context| {
        Ok(context
            .get_raw(0)
            .as_blob_or_null()?
            .and_then(packed::unpack))
    })?;
    Ok(())
}
