/**
 * Keys with their reach, nonces of signed requests, and who wrote what. Of API keys there is the hash, of secrets that
 * signatures are checked with the sealed text.
 */
export const keys: readonly string[] = [
  `CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    sealed_secret TEXT,
    role TEXT,
    workspaces TEXT NOT NULL,
    credential_name TEXT,
    header_name TEXT,
    description TEXT,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT
  )`,
  `CREATE TABLE nonces (
    key_id TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (key_id, nonce)
  )`,
  'CREATE INDEX nonces_oldest ON nonces (expires_ms)',
  `CREATE TABLE audit_events (
    id INTEGER NOT NULL PRIMARY KEY,
    at TEXT NOT NULL,
    request_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    resource TEXT NOT NULL,
    status INTEGER
  )`,
];
