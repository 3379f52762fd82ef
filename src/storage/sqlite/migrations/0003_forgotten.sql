-- The ids of the chats that were forgotten: all that stays of them.
CREATE TABLE forgotten (
    chat BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
