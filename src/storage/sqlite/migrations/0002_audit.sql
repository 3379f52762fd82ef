-- Who did what, in the order of ids, which begin with the time. `outcome` comes after the entry.
-- `customer` is channel and customer of an entry that is about one, until the customer is erased.
CREATE TABLE audit (
    id       BLOB PRIMARY KEY,
    entry    BLOB NOT NULL,
    outcome  BLOB,
    customer BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_customers ON audit (customer) WHERE customer IS NOT NULL;
