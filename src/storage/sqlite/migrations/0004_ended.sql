-- The chats that have ended, by channel in the order of their ids, which begin with the time of their
-- making. All of it follows from the log.
CREATE TABLE ended_chats (
    channel BLOB NOT NULL,
    chat    BLOB NOT NULL,
    record  BLOB NOT NULL,
    PRIMARY KEY (channel, chat)
) STRICT, WITHOUT ROWID;
