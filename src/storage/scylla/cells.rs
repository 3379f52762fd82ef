//! What stands in a keyspace's tables, byte for byte: for whoever looks for what was to be forgotten.
//! Nothing of the store itself reads so.

use futures_util::TryStreamExt;
use scylla::statement::Statement;
use scylla::value::{CqlValue, Row};

use super::ScyllaOptions;
use super::connect::{OpenError, connect, unusable, use_keyspace};
use super::limits::CELLS_PAGE_ROWS;

/// Reads every table of a keyspace whole and shows each blob and each text in it, also of rows that no
/// port shows, and also beside an owner. Errors say what to do.
pub async fn every_cell(
    options: &ScyllaOptions,
    mut show: impl FnMut(&[u8]),
) -> Result<(), OpenError> {
    let session = connect(options).await?;
    use_keyspace(&session, &options.keyspace).await?;
    let broken = |what: String| OpenError::Unusable { keyspace: options.keyspace.clone(), what };
    let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables = session.query_unpaged(text, (options.keyspace.as_str(),)).await;
    let tables = tables.map_err(|error| unusable(&error, options))?;
    let tables = tables.into_rows_result().map_err(|error| broken(error.to_string()))?;
    for table in tables.rows::<(String,)>().map_err(|error| broken(error.to_string()))? {
        let (table,) = table.map_err(|error| broken(error.to_string()))?;
        let mut all = Statement::new(format!("SELECT * FROM {table}"));
        all.set_page_size(CELLS_PAGE_ROWS);
        let rows = session.query_iter(all, ()).await.map_err(|error| broken(error.to_string()))?;
        let rows = rows.rows_stream::<Row>().map_err(|error| broken(error.to_string()))?;
        let shown = rows.try_for_each(|row| {
            row.columns.iter().flatten().for_each(|value| show_value(value, &mut show));
            std::future::ready(Ok(()))
        });
        shown.await.map_err(|error| broken(error.to_string()))?;
    }
    Ok(())
}

fn show_value(value: &CqlValue, show: &mut impl FnMut(&[u8])) {
    match value {
        CqlValue::Blob(bytes) => show(bytes),
        CqlValue::Text(text) => show(text.as_bytes()),
        CqlValue::List(values) => values.iter().for_each(|value| show_value(value, show)),
        // Numbers and ids. No table has another type.
        _ => {}
    }
}
