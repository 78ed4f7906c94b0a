import { expect, test, vi } from 'vitest';
import { BUCKETS_MS, HISTOGRAM_LENGTH, OTHERS, OUTCOMES, STATUS_CLASSES } from '../observe/call-counts.ts';
import { metricsText } from '../observe/metrics-text.ts';
import { type CallRecord, newCallRecord } from './call-record.ts';
import { Metrics, reportCounts } from './metrics.ts';

const ended = (more: Partial<CallRecord> = {}): CallRecord => ({
  ...newCallRecord('id', 'POST'),
  runtimeName: 'hello',
  status: 200,
  outcome: 'answered',
  ...more,
});
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
const control = { cpuSeconds: 1.5, residentBytes: 1000, startedAt: 1_795_680_000 };
const textOf = (metrics: Metrics) =>
  metricsText({ gateway: metrics.counts(), control, instances: { ready: 2, starting: 1 } });

test('a call is counted once in everything that is known of it', () => {
  const metrics = new Metrics();
  metrics.account(
    ended({
      queueMs: 0,
      connectMs: 0.5,
      firstByteMs: 30,
      totalMs: 700,
      bytesIn: 225,
      bytesOut: 550,
      retries: 2,
    }),
  );
  metrics.account(ended({ status: 429, outcome: 'refused', errorCode: 'ERR_TOO_MANY_REQUESTS', totalMs: 1 }));
  const { runtimes, connect, refusals, retries } = metrics.counts();
  const [hello, ...others] = runtimes;
  expect(others).toEqual([]);
  expect(hello).toMatchObject({ runtimeName: 'hello', bytesIn: 225, bytesOut: 550 });
  const count = (outcome: (typeof OUTCOMES)[number], status: (typeof STATUS_CLASSES)[number]) =>
    hello!.calls[OUTCOMES.indexOf(outcome) * STATUS_CLASSES.length + STATUS_CLASSES.indexOf(status)];
  expect([count('answered', '2xx'), count('refused', '4xx'), sum(hello!.calls)]).toEqual([1, 1, 2]);
  expect(sum(hello!.queue)).toBe(1);
  expect(hello!.firstByte[BUCKETS_MS.indexOf(50)]).toBe(1);
  expect(hello!.total[BUCKETS_MS.indexOf(1000)]).toBe(1);
  expect(hello!.total[HISTOGRAM_LENGTH - 1]).toBe(701);
  expect(connect[0]).toBe(1);
  expect(refusals).toEqual({ ERR_TOO_MANY_REQUESTS: 1 });
  expect(retries).toBe(2);
});

test.each(
  OUTCOMES.flatMap((outcome) =>
    [0, 101, 204, 302, 404, 503, 999].map((status) => [outcome, status] as const),
  ),
)('%s with status %d has its place', (outcome, status) => {
  const metrics = new Metrics();
  metrics.account(ended({ outcome, status }));
  const name = STATUS_CLASSES[status > 599 ? 0 : Math.floor(status / 100)];
  expect(textOf(metrics)).toContain(
    `runstead_calls_total{runtime="hello",outcome="${outcome}",status="${name}"} 1\n`,
  );
});

test('names are bounded: further runtimes are counted together, and an idle one gives way', () => {
  let nowMs = 0;
  const metrics = new Metrics({ runtimesMax: 3, idleMs: 1000, now: () => nowMs });
  for (let number = 0; number < 10_000; number++) metrics.account(ended({ runtimeName: `r${number}` }));
  const names = () => metrics.counts().runtimes.map(({ runtimeName }) => runtimeName);
  expect(names()).toEqual([OTHERS, 'r0', 'r1', 'r2']);
  expect(sum(metrics.counts().runtimes[0]!.calls)).toBe(9997);
  nowMs = 999;
  metrics.account(ended({ runtimeName: 'r1' }));
  nowMs = 1000;
  metrics.account(ended({ runtimeName: 'new' }));
  expect(names()).toEqual([OTHERS, 'r1', 'r2', 'new']);
  metrics.account(ended({ runtimeName: undefined }));
  expect(names()[0]).toBe('');
});

test('it is said while there is something new, and not otherwise', () => {
  vi.useFakeTimers();
  try {
    const metrics = new Metrics();
    let said = 0;
    const stop = reportCounts(metrics, () => said++, 100);
    vi.advanceTimersByTime(1000);
    expect(said).toBe(0);
    metrics.account(ended());
    vi.advanceTimersByTime(1000);
    expect(said).toBe(1);
    metrics.account(ended());
    stop();
    vi.advanceTimersByTime(1000);
    expect(said).toBe(1);
  } finally {
    vi.useRealTimers();
  }
});

test('the text is what Prometheus reads: one head a family, cumulative buckets, escaped labels', () => {
  const metrics = new Metrics();
  metrics.now.streams = 3;
  for (const totalMs of [0.5, 2, 2.5, 300, 1e9]) metrics.account(ended({ totalMs }));
  metrics.account(ended({ runtimeName: 'a"b\\c\nd' }));
  const text = textOf(metrics);
  expect(text).toMatch(/\n$/);
  const heads = text.match(/^# TYPE \S+/gm)!;
  expect(new Set(heads).size).toBe(heads.length);
  for (const line of text.trimEnd().split('\n'))
    expect(line).toMatch(
      /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\})? [0-9.e+]+)$/,
    );
  const hello = (le: string) => `runstead_call_seconds_bucket{runtime="hello",le="${le}"}`;
  expect(text).toContain(`${hello('0.001')} 1\n${hello('0.0025')} 3\n${hello('0.005')} 3\n`);
  expect(text).toContain(`${hello('300')} 4\n${hello('+Inf')} 5\n`);
  expect(text).toContain('runstead_call_seconds_count{runtime="hello"} 5\n');
  expect(text).toContain('{runtime="a\\"b\\\\c\\nd",');
  expect(text).toContain('runstead_open_streams 3\n');
  expect(text).toContain('runstead_gateway_up 1\n');
  expect(text).toContain('runstead_instances{state="ready"} 2\n');
  expect(text).toContain('runstead_process_cpu_seconds_total{process="control"} 1.5\n');
  expect(text).toMatch(/runstead_process_resident_memory_bytes\{process="gateway"\} \d/);
});

test('without a gateway what the control process knows of itself is there', () => {
  const text = metricsText({ gateway: undefined, control, instances: {} });
  expect(text).toContain('runstead_gateway_up 0\n');
  expect(text).not.toContain('runstead_calls_total');
  expect(text).not.toContain('runstead_instances');
});
