-- From version 1 to 2: counts of each version, and the cursor of the changes feed.

ALTER TABLE package ADD COLUMN is_outdated INTEGER NOT NULL DEFAULT 0;

CREATE TABLE version_downloads (
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;

CREATE TABLE note (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
