/**
 * Workspaces, one of them the default, and every runtime in one that exists. The table of runtimes is rebuilt: what was a
 * label that nobody checked becomes a reference. Whatever a runtime had there, no workspace has that id, so all of them go
 * to the default one.
 */
export const workspaces: readonly string[] = [
  `CREATE TABLE workspaces (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    resource_group_id TEXT,
    is_default INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
  )`,
  'CREATE UNIQUE INDEX workspaces_default ON workspaces (is_default) WHERE is_default = 1',
  'CREATE INDEX workspaces_newest ON workspaces (created_at DESC, id)',
  // A random UUID (RFC 9562, version 4), made once: it is this data's for good.
  `INSERT INTO workspaces (id, name, is_default, created_at, updated_at)
    SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-'
        || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(h, 18, 3) || '-' || substr(h, 21),
      'default', 1, at, at
    FROM (SELECT lower(hex(randomblob(16))) AS h, strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AS at)`,
  `CREATE TABLE runtimes_new (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
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
  `INSERT INTO runtimes_new
    SELECT id, name, (SELECT id FROM workspaces), revision, status, status_reason,
      json_remove(spec, '$.workspaceId'), artifact_digest, head_version, force_evict, created_at, updated_at
    FROM runtimes`,
  'DROP TABLE runtimes',
  'ALTER TABLE runtimes_new RENAME TO runtimes',
  "UPDATE versions SET spec = json_remove(spec, '$.workspaceId')",
  // Lists go by these two. What they select by stands in the index: skipping and counting then read no whole rows.
  'CREATE INDEX runtimes_newest ON runtimes (created_at DESC, id, name, status, workspace_id)',
  'CREATE INDEX runtimes_workspace ON runtimes (workspace_id, created_at DESC, id, name, status)',
  'CREATE INDEX endpoints_newest ON endpoints (runtime_id, created_at DESC, id)',
];
