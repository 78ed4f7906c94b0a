/** Secrets that runtimes of a workspace refer to by name; of each there is the sealed text alone. They go with it. */
export const secrets: readonly string[] = [
  `CREATE TABLE secrets (
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (workspace_id, name)
  )`,
];
