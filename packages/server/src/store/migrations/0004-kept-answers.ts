/**
 * What tells whether the key of secrets is the one they were sealed with, and answers that a request sent again gets
 * once more.
 */
export const keptAnswers: readonly string[] = [
  'CREATE TABLE secrets_check (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), sealed TEXT NOT NULL)',
  `CREATE TABLE kept_answers (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    sealed_data TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (scope, key)
  )`,
  'CREATE INDEX kept_answers_oldest ON kept_answers (created_at)',
];
