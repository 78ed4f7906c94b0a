import type { Server } from './server.ts';

/** One line of `/runstead/v1/runtimes/{id}/logs`. */
export interface LogLine {
  time: string;
  timeFrom: string;
  level: string;
  instanceId: string;
  agentRuntimeVersion?: string;
  text: string;
  truncated?: boolean;
  open?: boolean;
}

export interface LogsPage {
  items: LogLine[];
  lost: { instanceId: string; bytes: number }[];
  nextCursor: string;
  hasMore: boolean;
}

const urlOf = (server: Server, runtimeId: string, query: Record<string, string>) =>
  `${server.url}/runstead/v1/runtimes/${runtimeId}/logs?${new URLSearchParams(query)}`;

export async function readLogs(
  server: Server,
  runtimeId: string,
  query: Record<string, string> = {},
): Promise<LogsPage> {
  const response = await fetch(urlOf(server, runtimeId, query), {
    headers: { authorization: `Bearer ${server.apiKey}` },
  });
  if (!response.ok) throw new Error(`HTTP ${response.status} ${await response.text()}`);
  return ((await response.json()) as { data: LogsPage }).data;
}

/** A client that follows, as a browser's EventSource does: it knows the last id. */
export class LogFollower {
  readonly lines: LogLine[] = [];
  lastId: string | undefined;
  /** Why the server ended it, in its words. */
  endReason: string | undefined;
  /** Resolves when the answer is over, however that came. */
  over: Promise<void> = Promise.resolve();
  #stop = new AbortController();

  /** @param lastId where another had come to */
  static async open(
    server: Server,
    runtimeId: string,
    query: Record<string, string> = {},
    lastId?: string,
  ): Promise<LogFollower> {
    const follower = new LogFollower();
    follower.lastId = lastId;
    const response = await fetch(urlOf(server, runtimeId, query), {
      headers: {
        authorization: `Bearer ${server.apiKey}`,
        accept: 'text/event-stream',
        ...(lastId !== undefined && { 'last-event-id': lastId }),
      },
      signal: follower.#stop.signal,
    });
    if (!response.ok) throw new Error(`HTTP ${response.status} ${await response.text()}`);
    follower.over = follower.#read(response.body!).catch(() => {});
    return follower;
  }

  get texts(): string[] {
    return this.lines.map(({ text }) => text);
  }

  /** Leaves, as a client does whose connection is lost. */
  async leave(): Promise<void> {
    this.#stop.abort();
    await this.over;
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    let text = '';
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) this.#hear(event);
    }
  }

  #hear(event: string): void {
    const fields = new Map(
      event.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    );
    const id = fields.get('id');
    if (id !== undefined) this.lastId = id;
    const data = fields.get('data');
    if (data === undefined) return;
    const value: unknown = JSON.parse(data);
    if (fields.get('event') === 'end') this.endReason = (value as { reason: string }).reason;
    else if (!fields.has('event')) this.lines.push(value as LogLine);
  }
}
