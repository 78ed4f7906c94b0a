import { answered, serverClient } from '../call-server.ts';
import type { Command } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { findRuntime } from '../find-runtime.ts';
import { DATA_FLAG } from '../local-server.ts';
import { outputFlag, outputOf, table } from '../output.ts';

/** One instance, as the server has it. */
interface Instance {
  instanceId: string;
  agentRuntimeId: string;
  agentRuntimeName?: string;
  agentRuntimeVersion?: string;
  state: string;
  driver: string;
  host?: string;
  port?: number;
  startedAt: string;
  memoryBytes?: number;
  cpuSeconds?: number;
  sessions: number;
  inFlight: number;
}

const PAGE_SIZE = 100;
const COLUMNS = [
  'INSTANCE',
  'RUNTIME',
  'VERSION',
  'STATE',
  'SINCE',
  'MEMORY',
  'CPU',
  'CALLS',
  'SESSIONS',
  'WHERE',
];

export const ps: Command = {
  name: 'ps',
  description: 'show which instances run, where, and what they use',
  arguments: [{ syntax: '[runtime]', description: 'only of this runtime: its name or id' }],
  flags: [outputFlag('the ids'), DATA_FLAG],
  examples: ['runstead ps', 'runstead ps my-agent --output json'],

  async run(flags, io, [name]): Promise<ExitCode> {
    const output = outputOf(flags);
    const client = serverClient(flags, io);
    const of = name === undefined ? '' : `&agentRuntimeId=${await findRuntime(client, name)}`;
    const items: Instance[] = [];
    for (let pageNumber = 1; ; pageNumber++) {
      const path = `/runstead/v1/instances?pageSize=${PAGE_SIZE}&pageNumber=${pageNumber}${of}`;
      const page = await answered(client.request<{ items: Instance[] }>('GET', path));
      items.push(...page.items);
      if (page.items.length < PAGE_SIZE) break;
    }
    if (output === 'json') io.stdout.write(`${JSON.stringify(items)}\n`);
    else if (output === 'quiet') for (const { instanceId } of items) io.stdout.write(`${instanceId}\n`);
    else io.stdout.write(table(COLUMNS, items.map(row)));
    return EXIT.ok;
  },
};

function row(instance: Instance): string[] {
  const { memoryBytes, cpuSeconds, host, port } = instance;
  return [
    instance.instanceId,
    instance.agentRuntimeName ?? instance.agentRuntimeId,
    instance.agentRuntimeVersion ?? '-',
    instance.state,
    instance.startedAt,
    memoryBytes === undefined ? '-' : `${Math.round(memoryBytes / 1024 / 1024)} MiB`,
    cpuSeconds === undefined ? '-' : `${cpuSeconds.toFixed(1)} s`,
    String(instance.inFlight),
    String(instance.sessions),
    port === undefined ? instance.driver : `${instance.driver} ${host}:${port}`,
  ];
}
