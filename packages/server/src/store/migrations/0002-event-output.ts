/** What programs run in a phase wrote last: a JSON array of lines. */
export const eventOutput: readonly string[] = ['ALTER TABLE events ADD COLUMN output TEXT'];
