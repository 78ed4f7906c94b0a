/** Runtimes, versions, endpoints and their events. */
export const initial: readonly string[] = [
  `CREATE TABLE runtimes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    workspace_id TEXT,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    spec TEXT NOT NULL,
    artifact_digest TEXT,
    head_version INTEGER,
    force_evict INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
  )`,
  'CREATE INDEX runtimes_newest ON runtimes (created_at DESC, id)',
  `CREATE TABLE versions (
    runtime_id TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    spec TEXT NOT NULL,
    artifact_digest TEXT,
    description TEXT,
    publisher TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (runtime_id, version)
  )`,
  'CREATE UNIQUE INDEX versions_revision ON versions (runtime_id, revision)',
  `CREATE TABLE endpoints (
    id TEXT NOT NULL PRIMARY KEY,
    runtime_id TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    spec TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
  )`,
  'CREATE UNIQUE INDEX endpoints_name ON endpoints (runtime_id, name)',
  `CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY,
    runtime_id TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    phase TEXT NOT NULL,
    started_at TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT
  )`,
  'CREATE INDEX events_newest ON events (runtime_id, id DESC)',
];
