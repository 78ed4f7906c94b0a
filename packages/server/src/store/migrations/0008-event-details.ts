/** What kind of event it is, which instance it is about, and how that ended. */
export const eventDetails: readonly string[] = [
  "ALTER TABLE events ADD COLUMN kind TEXT NOT NULL DEFAULT 'deploy'",
  'ALTER TABLE events ADD COLUMN instance_id TEXT',
  'ALTER TABLE events ADD COLUMN exit_code INTEGER',
  'ALTER TABLE events ADD COLUMN exit_signal TEXT',
  "UPDATE events SET kind = 'scale' WHERE phase = 'scale'",
  "UPDATE events SET kind = 'exit' WHERE phase = 'exit'",
  'CREATE INDEX events_of_kind ON events (runtime_id, kind, id DESC)',
  'CREATE INDEX events_by_age ON events (started_at)',
];
