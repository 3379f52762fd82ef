-- Events of all chats in the order of their commits. Nothing but the position orders them: an
-- index here would cost a random page for every event inside the commit.
CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    chat     BLOB    NOT NULL,
    seq      INTEGER NOT NULL,
    record   BLOB    NOT NULL
) STRICT;

-- Finds a chat's events up to position `counters.folded`: a row a run of events without gaps, with
-- the position of each (8 bytes, little-endian). Folded behind the commits, in sorted batches.
-- What lies after that position is held in memory and rebuilt at the start.
CREATE TABLE log_index (
    chat      BLOB    NOT NULL,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    positions BLOB    NOT NULL,
    PRIMARY KEY (chat, first)
) STRICT, WITHOUT ROWID;

-- `life`: openings of the store. `process`: numbers given to processes. `folded`: see log_index.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('life', 0), ('process', 0), ('folded', 0);

CREATE TABLE open_chats (
    chat   BLOB PRIMARY KEY,
    record BLOB NOT NULL,
    moving BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    channel  BLOB NOT NULL,
    customer BLOB NOT NULL,
    chat     BLOB NOT NULL,
    PRIMARY KEY (channel, customer)
) STRICT, WITHOUT ROWID;

-- Every command that once claimed, so that its repeat gets the chat of that time.
CREATE TABLE conversation_commands (
    channel  BLOB NOT NULL,
    customer BLOB NOT NULL,
    command  TEXT NOT NULL,
    chat     BLOB NOT NULL,
    PRIMARY KEY (channel, customer, command)
) STRICT, WITHOUT ROWID;

CREATE TABLE operators (
    operator BLOB PRIMARY KEY,
    record   BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE watermarks (
    chat      BLOB    NOT NULL,
    party     BLOB    NOT NULL,
    delivered INTEGER NOT NULL,
    read      INTEGER NOT NULL,
    PRIMARY KEY (chat, party)
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    version INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
