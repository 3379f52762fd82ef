//! Every statement of this store, with its kind.
//!
//! Invariant: plain writes to rows take a timestamp. What each `DELETE` leaves for reads to pass over
//! stands in `docs/decisions/0007-distributed-store.md`.

use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::statement::prepared::PreparedStatement;

use super::profiles::{Kind, Profiles};

macro_rules! statements {
    ($($name:ident: $kind:ident = $text:expr;)*) => {
        /// The statements, prepared. In their texts `%` stands for the keyspace.
        pub(super) struct Statements { $(pub $name: PreparedStatement,)* }

        impl Statements {
            pub async fn prepare(
                session: &Session,
                profiles: &Profiles,
                keyspace: &str,
            ) -> Result<Self, PrepareError> {
                Ok(Self { $(
                    // A prepared statement must not depend on what its connection was told before.
                    $name: profiles
                        .prepare(session, Kind::$kind, &$text.replace('%', keyspace))
                        .await?,
                )* })
            }
        }
    };
}

statements! {
    append: Append = "INSERT INTO %.log (chat, bucket, seq, epoch, records) VALUES (?, ?, ?, ?, ?)";
    claim: Append = "INSERT INTO %.log (chat, bucket, seq, epoch) VALUES (?, ?, ?, ?)";
    log_end: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
                     ORDER BY seq DESC, epoch ASC LIMIT ?";
    log_before: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
                        AND seq <= ? ORDER BY seq DESC, epoch ASC LIMIT ?";
    log_after: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
                       AND seq > ? LIMIT ?";

    log_drop: Write = "DELETE FROM %.log USING TIMESTAMP ? WHERE chat = ? AND bucket = ?";
    forgotten_put: Write = "INSERT INTO %.forgotten (chat) VALUES (?) USING TIMESTAMP ?";
    forgotten_get: Read = "SELECT chat FROM %.forgotten WHERE chat = ?";
    log_partitions: Read = "SELECT DISTINCT token(chat, bucket), chat, bucket FROM %.log \
                            WHERE token(chat, bucket) >= ? AND token(chat, bucket) <= ? LIMIT ?";

    open_put: Write = "INSERT INTO %.open_chats (hour, shard, chat, record, moving) \
                       VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    open_mark: Write = "UPDATE %.open_chats USING TIMESTAMP ? SET moving = ? \
                        WHERE hour = ? AND shard = ? AND chat = ?";
    open_remove: Write = "DELETE FROM %.open_chats USING TIMESTAMP ? \
                          WHERE hour = ? AND shard = ? AND chat = ?";
    open_drop: Write = "DELETE FROM %.open_chats USING TIMESTAMP ? WHERE hour = ? AND shard = ?";
    open_scan: Read = "SELECT chat, record, moving FROM %.open_chats \
                       WHERE hour = ? AND shard = ? AND chat > ? AND chat < ? LIMIT ?";
    open_tally_put: Write = "INSERT INTO %.open_tallies (list, hour, shard, at) VALUES (0, ?, ?, ?) \
                             USING TIMESTAMP ?";
    open_tally_drop: Write = "DELETE FROM %.open_tallies USING TIMESTAMP ? \
                              WHERE list = 0 AND hour = ? AND shard = ?";
    open_tallies_cut: Write = "DELETE FROM %.open_tallies USING TIMESTAMP ? \
                               WHERE list = 0 AND hour < ?";
    open_tallies: Read = "SELECT hour, shard, at FROM %.open_tallies \
                          WHERE list = 0 AND (hour, shard, at) > (?, ?, ?) LIMIT ?";
    list_put: Write = "INSERT INTO %.open_partitions (list, hour, shard) VALUES (0, ?, ?) \
                       USING TIMESTAMP ?";
    list_drop: Write = "DELETE FROM %.open_partitions USING TIMESTAMP ? \
                        WHERE list = 0 AND hour = ? AND shard = ?";
    list_cut: Write = "DELETE FROM %.open_partitions USING TIMESTAMP ? WHERE list = 0 AND hour < ?";
    list_read: Read = "SELECT hour, shard FROM %.open_partitions \
                       WHERE list = 0 AND (hour, shard) > (?, ?) LIMIT ?";

    ended_put: Write = "INSERT INTO %.ended_chats (channel, day, chat, record) VALUES (?, ?, ?, ?) \
                        USING TIMESTAMP ?";
    ended_remove: Write = "DELETE FROM %.ended_chats USING TIMESTAMP ? \
                           WHERE channel = ? AND day = ? AND chat = ?";
    ended_scan: Read = "SELECT chat, record FROM %.ended_chats \
                        WHERE channel = ? AND day = ? AND chat > ? AND chat < ? LIMIT ?";
    ended_day_put: Write = "INSERT INTO %.ended_days (channel, day) VALUES (?, ?) USING TIMESTAMP ?";
    ended_drop: Write = "DELETE FROM %.ended_chats USING TIMESTAMP ? WHERE channel = ? AND day = ?";
    ended_day_drop: Write = "DELETE FROM %.ended_days USING TIMESTAMP ? \
                             WHERE channel = ? AND day = ?";
    ended_days_drop: Write = "DELETE FROM %.ended_days USING TIMESTAMP ? \
                              WHERE channel = ? AND day <= ?";
    ended_days: Read = "SELECT day FROM %.ended_days WHERE channel = ? AND day >= ? AND day <= ? \
                        LIMIT ?";
    ended_tally_put: Write = "INSERT INTO %.ended_tallies (channel, day, at) VALUES (?, ?, ?) \
                              USING TIMESTAMP ?";
    ended_tally_drop: Write = "DELETE FROM %.ended_tallies USING TIMESTAMP ? \
                               WHERE channel = ? AND day = ?";
    ended_tallies: Read = "SELECT at FROM %.ended_tallies WHERE channel = ? AND day = ? LIMIT ?";

    talk_read: SerialRead = "SELECT command, chat FROM %.conversations \
                             WHERE channel = ? AND customer = ? AND command IN ('', ?)";
    talk_latest: SerialRead = "SELECT chat FROM %.conversations \
                               WHERE channel = ? AND customer = ? AND command = ''";
    talk_all: SerialRead = "SELECT command, chat FROM %.conversations \
                            WHERE channel = ? AND customer = ?";
    talks: Read = "SELECT DISTINCT token(channel, customer), channel, customer FROM %.conversations \
                   WHERE token(channel, customer) >= ? AND token(channel, customer) <= ? LIMIT ?";
    talk_first: Condition = "INSERT INTO %.conversations (channel, customer, command, chat) \
                             VALUES (?, ?, '', ?) IF NOT EXISTS";
    talk_next: Condition = "UPDATE %.conversations SET chat = ? \
                            WHERE channel = ? AND customer = ? AND command = '' IF chat = ?";
    talk_command: Condition = "INSERT INTO %.conversations (channel, customer, command, chat) \
                               VALUES (?, ?, ?, ?) IF NOT EXISTS";
    talk_drop: Condition = "DELETE FROM %.conversations \
                            WHERE channel = ? AND customer = ? AND command = ? IF chat = ?";
    channel_use: Write = "INSERT INTO %.channels_used (channel) VALUES (?) USING TIMESTAMP ?";
    channel_used: Read = "SELECT channel FROM %.channels_used WHERE channel = ?";

    operator_load: Read = "SELECT record FROM %.operators WHERE operator = ?";
    operator_save: Write = "INSERT INTO %.operators (operator, record) VALUES (?, ?) \
                            USING TIMESTAMP ?";

    operator_ids: Read = "SELECT token(operator), operator FROM %.operators \
                          WHERE token(operator) >= ? AND token(operator) <= ? LIMIT ?";

    marks_load: Read = "SELECT party, delivered, read FROM %.watermarks WHERE chat = ?";
    marks_drop: Write = "DELETE FROM %.watermarks USING TIMESTAMP ? WHERE chat = ?";
    mark_chats: Read = "SELECT DISTINCT token(chat), chat FROM %.watermarks \
                        WHERE token(chat) >= ? AND token(chat) <= ? LIMIT ?";
    mark_delivered: Write = "UPDATE %.watermarks USING TIMESTAMP ? SET delivered = ? \
                             WHERE chat = ? AND party = ?";
    mark_read: Write = "UPDATE %.watermarks USING TIMESTAMP ? SET read = ? \
                        WHERE chat = ? AND party = ?";

    document_get: SerialRead = "SELECT id, version, body FROM %.documents \
                                WHERE kind = ? AND shard = ? AND id = ?";
    document_first: SerialRead = "SELECT id, version, body FROM %.documents \
                                  WHERE kind = ? AND shard = ? LIMIT ?";
    document_after: SerialRead = "SELECT id, version, body FROM %.documents \
                                  WHERE kind = ? AND shard = ? AND id > ? LIMIT ?";
    document_kinds: Read = "SELECT DISTINCT token(kind, shard), kind FROM %.documents \
                            WHERE token(kind, shard) >= ? AND token(kind, shard) <= ? LIMIT ?";
    document_shards: Read = "SELECT shard FROM %.documents WHERE kind = ? AND shard IN ? \
                             PER PARTITION LIMIT 1";
    document_new: Condition = "INSERT INTO %.documents (kind, shard, id, version, body) \
                               VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    document_put: Condition = "UPDATE %.documents SET version = ?, body = ? \
                               WHERE kind = ? AND shard = ? AND id = ? IF version = ?";
    document_delete: Condition = "DELETE FROM %.documents \
                                  WHERE kind = ? AND shard = ? AND id = ? IF version = ?";

    audit_put: Write = "INSERT INTO %.audit (hour, id, entry) VALUES (?, ?, ?) USING TIMESTAMP ?";
    audit_conclude: Write = "UPDATE %.audit USING TIMESTAMP ? SET outcome = ? \
                             WHERE hour = ? AND id = ?";
    audit_page: Read = "SELECT id, entry, outcome FROM %.audit \
                        WHERE hour = ? AND id < ? AND id >= ? LIMIT ?";
    audit_remove: Write = "DELETE FROM %.audit USING TIMESTAMP ? WHERE hour = ? AND id = ?";
    audit_drop: Write = "DELETE FROM %.audit USING TIMESTAMP ? WHERE hour = ?";
    audit_hour_put: Write = "INSERT INTO %.audit_hours (list, hour) VALUES (0, ?) \
                             USING TIMESTAMP ?";
    audit_hour_drop: Write = "DELETE FROM %.audit_hours USING TIMESTAMP ? \
                              WHERE list = 0 AND hour <= ?";
    audit_hours: Read = "SELECT hour FROM %.audit_hours \
                         WHERE list = 0 AND hour < ? AND hour >= ? LIMIT ?";
    audit_oldest: Read = "SELECT hour FROM %.audit_hours WHERE list = 0 AND hour < ? \
                          ORDER BY hour ASC LIMIT 1";
    audit_customer_put: Write = "INSERT INTO %.audit_customers (channel, customer, id) \
                                 VALUES (?, ?, ?) USING TIMESTAMP ?";
    audit_customer_ids: Read = "SELECT id FROM %.audit_customers \
                                WHERE channel = ? AND customer = ? AND id > ? LIMIT ?";
    audit_customer_drop: Write = "DELETE FROM %.audit_customers USING TIMESTAMP ? \
                                  WHERE channel = ? AND customer = ?";

    counter_get: SerialRead = "SELECT value FROM %.counters WHERE name = ?";
    counter_new: Condition = "INSERT INTO %.counters (name, value) VALUES (?, ?) IF NOT EXISTS";
    counter_set: Condition = "UPDATE %.counters SET value = ? WHERE name = ? IF value = ?";

    lease_get: SerialRead = "SELECT life, beat, stamp, holder, home FROM %.lease \
                             WHERE name = 'owner'";
    lease_new: Condition = "INSERT INTO %.lease (name, life, beat, stamp, holder, home) \
                            VALUES ('owner', ?, 0, ?, ?, ?) IF NOT EXISTS";
    lease_take: Condition = "UPDATE %.lease SET life = ?, beat = 0, stamp = ?, holder = ?, \
                             home = ? WHERE name = 'owner' IF life = ? AND beat = ?";
    lease_renew: Renew = "UPDATE %.lease SET beat = ?, stamp = ? \
                          WHERE name = 'owner' IF life = ? AND beat <= ?";
    time: Read = "SELECT toTimestamp(now()) FROM system.local";
    // Of a row that never was: a write like those of the logs, which leaves nothing to be seen.
    log_probe: Append = "DELETE FROM %.log WHERE chat = 00000000-0000-0000-0000-000000000000 \
                         AND bucket = 0 AND seq = 0 AND epoch = 0";
    lease_release: Condition = "UPDATE %.lease SET beat = ?, stamp = ?, holder = '' \
                                WHERE name = 'owner' IF life = ?";
}
