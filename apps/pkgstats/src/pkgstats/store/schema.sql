-- One file per version of the schema; `user_version` tells which one a database has.
-- Times are ISO 8601 in UTC, days are ISO dates, lists are JSON.

CREATE TABLE package (
    id               INTEGER PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    level            TEXT NOT NULL CHECK (level IN ('seen', 'named')),
    scope            TEXT,
    description      TEXT NOT NULL DEFAULT '',
    latest           TEXT,
    published_at     TEXT,
    published_source TEXT NOT NULL DEFAULT 'unknown',
    license          TEXT,
    publisher        TEXT,
    homepage         TEXT,
    bugs_url         TEXT,
    repo_url         TEXT,
    keywords         TEXT NOT NULL DEFAULT '[]',
    deprecated       TEXT,
    weekly           INTEGER,
    slim_hash        TEXT,
    etag             TEXT,
    last_modified    TEXT,
    first_seen_at    TEXT NOT NULL,
    changed_at       TEXT NOT NULL,
    fetched_at       TEXT,
    last_error       TEXT,
    last_error_at    TEXT,
    is_outdated      INTEGER NOT NULL DEFAULT 0, -- the changes feed named it since it was fetched
    dependents       INTEGER NOT NULL DEFAULT 0, -- packages known here that need it
    newest_at        TEXT                        -- published_at, or when it was first seen
);
CREATE INDEX package_scope ON package (scope);
CREATE INDEX package_folded ON package (lower(name));
CREATE INDEX package_own ON package (lower(substr(name, instr(name, '/') + 1)))
    WHERE scope IS NOT NULL;
CREATE INDEX package_popular ON package (weekly DESC, name)
    WHERE level = 'seen' AND deprecated IS NULL;
CREATE INDEX package_newest ON package (newest_at DESC, name)
    WHERE level = 'seen' AND latest IS NOT NULL;
CREATE INDEX package_describable ON package (name)
    WHERE level = 'seen' AND description <> '' AND deprecated IS NULL;

CREATE TABLE version (
    name         TEXT NOT NULL,
    version      TEXT NOT NULL,
    position     INTEGER NOT NULL,      -- 0 is the newest
    published_at TEXT,
    license      TEXT,
    dependencies INTEGER NOT NULL,
    unpacked     INTEGER,
    files        INTEGER,
    integrity    TEXT,
    deprecated   TEXT,
    body         BLOB NOT NULL,         -- the slimmed release, JSON
    PRIMARY KEY (name, version)
) WITHOUT ROWID;

CREATE INDEX version_rows ON version     -- all that lists need, without the bodies
    (name, position, version, published_at, license, dependencies, unpacked, files, deprecated);

CREATE TABLE dist_tag (
    name    TEXT NOT NULL,
    tag     TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (name, tag)
) WITHOUT ROWID;

CREATE TABLE dependency (                -- of the latest release only
    name   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (name, kind, target)
) WITHOUT ROWID;
CREATE INDEX dependency_target ON dependency (target);

CREATE TABLE maintainer (                -- user names only
    name     TEXT NOT NULL,
    username TEXT NOT NULL,
    PRIMARY KEY (name, username)
) WITHOUT ROWID;
CREATE INDEX maintainer_username ON maintainer (username);

CREATE TABLE contents (                  -- of a tarball, for ever: a release never changes
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    integrity  TEXT NOT NULL,
    markdown   BLOB,                     -- compressed; NULL: no readme in it
    html       TEXT,
    headings   BLOB,
    renderer   TEXT,
    truncated  INTEGER NOT NULL,
    packed     INTEGER,
    unpacked   INTEGER NOT NULL,
    files      BLOB NOT NULL,            -- [{path, size}], JSON
    fetched_at TEXT NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;

CREATE TABLE downloads (
    name  TEXT NOT NULL,
    day   TEXT NOT NULL,
    count INTEGER,                       -- NULL: a hole
    PRIMARY KEY (name, day)
) WITHOUT ROWID;

CREATE TABLE version_downloads (         -- of the last seven days
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;

CREATE TABLE note (                      -- single values, such as the cursor of the changes feed
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE block_state (               -- how the last request for a block of a page ended
    name    TEXT NOT NULL,
    version TEXT NOT NULL DEFAULT '',
    block   TEXT NOT NULL,
    state   TEXT NOT NULL,
    at      TEXT NOT NULL,
    until   TEXT NOT NULL,
    detail  TEXT NOT NULL DEFAULT '',
    ok_at   TEXT,                        -- when it was last answered with data
    PRIMARY KEY (name, version, block)
) WITHOUT ROWID;

CREATE TABLE source_state (
    ability      TEXT PRIMARY KEY,
    state        TEXT NOT NULL,
    since        TEXT NOT NULL,
    until        TEXT,
    last_contact TEXT,
    detail       TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE VIRTUAL TABLE search_index USING fts5 (
    name, keywords, description, tokenize = 'porter unicode61'
);
CREATE VIRTUAL TABLE name_index USING fts5 (name, tokenize = 'trigram');

CREATE TABLE visit (
    day   TEXT NOT NULL,
    name  TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, name)
) WITHOUT ROWID;

CREATE TABLE star (
    visitor TEXT NOT NULL,
    name    TEXT NOT NULL,
    since   TEXT NOT NULL,
    version TEXT,                        -- the latest version when it was starred
    PRIMARY KEY (visitor, name)
) WITHOUT ROWID;
CREATE INDEX star_name ON star (name);

CREATE TABLE feed_item (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    title      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at TEXT NOT NULL
);

CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    target_kind TEXT NOT NULL,
    target      TEXT NOT NULL,
    t           TEXT NOT NULL,
    at          TEXT NOT NULL,
    data        TEXT NOT NULL,
    simulated   INTEGER NOT NULL,
    sent_at     TEXT
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
