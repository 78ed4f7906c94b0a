/** Which session is bound to which instance. Of a session's id there is the hash alone. */
export const sessions: readonly string[] = [
  `CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    runtime_id TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    endpoint_name TEXT NOT NULL,
    key_id TEXT,
    version INTEGER NOT NULL,
    instance_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    last_used_at TEXT NOT NULL
  )`,
  'CREATE INDEX sessions_newest ON sessions (created_at DESC, id)',
  'CREATE INDEX sessions_runtime ON sessions (runtime_id, created_at DESC, id)',
  'CREATE INDEX sessions_instance ON sessions (instance_id)',
];
