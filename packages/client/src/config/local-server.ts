import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What a Runstead server on this machine leaves for its own user; either part may be missing. */
export interface LocalServer {
  /** From `local-key.json`, written at the server's first start. */
  apiKey?: string;
  /** From `run/server.json`, there while the server runs. */
  url?: string;
}

/** Reads `$RUNSTEAD_DATA`, else `~/.runstead`. Files that are missing, unreadable or not JSON count as absent. */
export function readLocalServer(): LocalServer {
  const apiKey = readField('local-key.json', 'apiKey');
  const url = readField(join('run', 'server.json'), 'url');
  return { ...(apiKey !== undefined && { apiKey }), ...(url !== undefined && { url }) };
}

function readField(file: string, field: string): string | undefined {
  try {
    // Inside the try as well: `homedir` throws for a user without a home.
    const data = process.env.RUNSTEAD_DATA || join(homedir(), '.runstead');
    const value: unknown = JSON.parse(readFileSync(join(data, file), 'utf8'))?.[field];
    return typeof value === 'string' && value !== '' ? value : undefined;
  } catch {
    // Most machines have no local server; the caller reports what is missing in its own words.
    return undefined;
  }
}
