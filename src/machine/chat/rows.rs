//! The writes that bring a chat's rows in the store up to date.

use crate::storage::{OpenChat, RowUpdate};

use super::Chat;

impl Chat {
    /// What is written, one after the other, once its row has become this; none: it is not among
    /// the open ones. When one is not written, those behind it are not, either: of a chat that has
    /// ended a crash leaves one of the two rows.
    pub fn row_updates(&self, row: Option<OpenChat>) -> Vec<RowUpdate> {
        if let Some(row) = row {
            return vec![RowUpdate::Open(row.kept())];
        }
        let ended = self.ended_row().map(RowUpdate::Ended);
        ended.into_iter().chain([RowUpdate::NotOpen]).collect()
    }
}
