import {
  BUCKETS_MS,
  type GatewayCounts,
  HISTOGRAM_LENGTH,
  OUTCOMES,
  type ProcessCounts,
  STATUS_CLASSES,
} from './call-counts.ts';

/** Prometheus' text form, version 0.0.4: what `/metrics` answers. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsShown {
  /** As last heard of; undefined: there is no gateway, or it has not said anything yet. */
  gateway: GatewayCounts | undefined;
  control: ProcessCounts;
  /** Instances by their state. */
  instances: Readonly<Record<string, number>>;
}

/** Lines of one family, its two heads first; nothing, if it has no sample. */
type Family = string[];

export function metricsText({ gateway, control, instances }: MetricsShown): string {
  const processes = { ...(gateway && { gateway: gateway.process }), control };
  const each = <T>(of: Record<string, T>, label: string, value: (item: T) => number) =>
    Object.entries(of).map(([name, item]) => sample({ [label]: name }, value(item)));
  const families: Family[] = [
    ...(gateway ? ofGateway(gateway) : []),
    gauge('runstead_gateway_up', 'Whether there is a gateway that tells of itself.', [
      sample({}, gateway ? 1 : 0),
    ]),
    gauge(
      'runstead_instances',
      'Instances by state.',
      each(instances, 'state', (count) => count),
    ),
    counter(
      'runstead_process_cpu_seconds_total',
      'Processor time, by process.',
      each(processes, 'process', ({ cpuSeconds }) => cpuSeconds),
    ),
    gauge(
      'runstead_process_resident_memory_bytes',
      'Memory, by process.',
      each(processes, 'process', ({ residentBytes }) => residentBytes),
    ),
    gauge(
      'runstead_process_start_time_seconds',
      'When it began, in seconds since 1970, by process.',
      each(processes, 'process', ({ startedAt }) => startedAt),
    ),
  ];
  return `${families.flat().join('\n')}\n`;
}

function ofGateway({ runtimes, connect, refusals, retries, now }: GatewayCounts): Family[] {
  return [
    counter(
      'runstead_calls_total',
      'Calls to runtimes that have ended; runtime "" stands for calls that reached none.',
      runtimes.flatMap(({ runtimeName, calls }) =>
        OUTCOMES.flatMap((outcome, at) =>
          STATUS_CLASSES.flatMap((status, within) => {
            const count = calls[at * STATUS_CLASSES.length + within]!;
            return count === 0 ? [] : [sample({ runtime: runtimeName, outcome, status }, count)];
          }),
        ),
      ),
    ),
    counter(
      'runstead_call_bytes_total',
      'Bytes of bodies, in from clients and out to them.',
      runtimes.flatMap(({ runtimeName: runtime, bytesIn, bytesOut }) => [
        sample({ runtime, direction: 'in' }, bytesIn),
        sample({ runtime, direction: 'out' }, bytesOut),
      ]),
    ),
    histogram(
      'runstead_call_queue_seconds',
      'How long calls waited for an instance.',
      runtimes.map(({ runtimeName: runtime, queue }) => [{ runtime }, queue]),
    ),
    histogram(
      'runstead_call_first_byte_seconds',
      'Until the first byte of the agent’s answer.',
      runtimes.map(({ runtimeName: runtime, firstByte }) => [{ runtime }, firstByte]),
    ),
    histogram(
      'runstead_call_seconds',
      'Of a call in all.',
      runtimes.map(({ runtimeName: runtime, total }) => [{ runtime }, total]),
    ),
    histogram('runstead_call_connect_seconds', 'Until there was a connection to the instance.', [
      [{}, connect],
    ]),
    counter(
      'runstead_refusals_total',
      'Calls that the platform answered in the agent’s place, by error code.',
      Object.entries(refusals).map(([code, count]) => sample({ code }, count)),
    ),
    counter('runstead_retries_total', 'Times that a call was sent to an instance again.', [
      sample({}, retries),
    ]),
    gauge('runstead_open_connections', 'Connections of clients.', [sample({}, now.connections)]),
    gauge('runstead_open_requests', 'Requests under way, those of the control plane included.', [
      sample({}, now.requests),
    ]),
    gauge('runstead_waiting_calls', 'Calls that wait for an instance.', [sample({}, now.waiting)]),
    gauge('runstead_open_streams', 'Event streams and upgraded connections.', [sample({}, now.streams)]),
  ];
}

type Labels = Readonly<Record<string, string>>;

/** What follows a metric's name in a line. */
function sample(labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([name, text]) => `${name}="${escaped(text)}"`);
  return `${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function family(type: string, name: string, help: string, lines: string[]): Family {
  return lines.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines];
}

function counter(name: string, help: string, samples: string[]): Family {
  return family(
    'counter',
    name,
    help,
    samples.map((text) => name + text),
  );
}

function gauge(name: string, help: string, samples: string[]): Family {
  return family(
    'gauge',
    name,
    help,
    samples.map((text) => name + text),
  );
}

/** Each bucket also counts what fell into those below it; empty histograms are left out. */
function histogram(name: string, help: string, each: [Labels, number[]][]): Family {
  const lines = each.flatMap(([labels, numbers]) => {
    let count = 0;
    const buckets = [...BUCKETS_MS.map((ms) => String(ms / 1000)), '+Inf'].map((le, at) => {
      count += numbers[at]!;
      return `${name}_bucket${sample({ ...labels, le }, count)}`;
    });
    if (count === 0) return [];
    const sum = numbers[HISTOGRAM_LENGTH - 1]! / 1000;
    return [...buckets, `${name}_sum${sample(labels, sum)}`, `${name}_count${sample(labels, count)}`];
  });
  return family('histogram', name, help, lines);
}
