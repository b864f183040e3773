-- From version 1 to 2: counts of each version, the cursor of the changes feed, quick suggestions.

ALTER TABLE package ADD COLUMN is_outdated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE package ADD COLUMN dependents INTEGER NOT NULL DEFAULT 0;
UPDATE package SET dependents =
    (SELECT count(DISTINCT d.name) FROM dependency d WHERE d.target = package.name);
CREATE INDEX package_folded ON package (lower(name));
CREATE INDEX package_own ON package (lower(substr(name, instr(name, '/') + 1)))
    WHERE scope IS NOT NULL;
ALTER TABLE package ADD COLUMN newest_at TEXT;
UPDATE package SET newest_at = coalesce(published_at, first_seen_at);
CREATE INDEX package_popular ON package (weekly DESC, name)
    WHERE level = 'seen' AND deprecated IS NULL;
CREATE INDEX package_newest ON package (newest_at DESC, name)
    WHERE level = 'seen' AND latest IS NOT NULL;
CREATE INDEX package_describable ON package (name)
    WHERE level = 'seen' AND description <> '' AND deprecated IS NULL;

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

ALTER TABLE block_state ADD COLUMN ok_at TEXT;
UPDATE block_state SET ok_at = at WHERE state = 'ok';

CREATE INDEX version_rows ON version     -- all that lists need, without the bodies
    (name, position, version, published_at, license, dependencies, unpacked, files, deprecated);
