import { expect, test } from 'vitest';
import { accessLine, isWritten, timeOf } from './access-record.ts';
import { type CallRecord, newCallRecord } from './call-record.ts';

const ended = (more: Partial<CallRecord> = {}): CallRecord => ({
  ...newCallRecord('11111111-2222-4333-8444-555555555555', 'POST'),
  status: 200,
  outcome: 'answered',
  ...more,
});

test('a call is one line of JSON with all that is known of it, and nothing else', () => {
  const whole = ended({
    caller: '2001:db8::7',
    runtimeId: 'r-1',
    runtimeName: 'hello',
    endpointName: 'Default',
    version: 3,
    instanceId: 'i-1',
    keyId: 'k-1',
    sessionHash: 'abc123',
    queueMs: 12.345678,
    connectMs: 13,
    firstByteMs: 20.004,
    totalMs: 1234.5,
    bytesIn: 225,
    bytesOut: 550,
    retries: 1,
    status: 502,
    errorCode: 'ERR_AGENT_UNREACHABLE',
    outcome: 'refused',
  });
  const line = accessLine(whole, '2026-11-25T08:00:00.000Z');
  expect(line).not.toContain('\n');
  expect(JSON.parse(line)).toEqual({
    time: '2026-11-25T08:00:00.000Z',
    requestId: '11111111-2222-4333-8444-555555555555',
    caller: '2001:db8::7',
    method: 'POST',
    agentRuntimeId: 'r-1',
    agentRuntimeName: 'hello',
    endpointName: 'Default',
    version: 3,
    instanceId: 'i-1',
    keyId: 'k-1',
    sessionHash: 'abc123',
    queueMs: 12.35,
    connectMs: 13,
    firstByteMs: 20,
    totalMs: 1234.5,
    bytesIn: 225,
    bytesOut: 550,
    retries: 1,
    status: 502,
    errorCode: 'ERR_AGENT_UNREACHABLE',
    outcome: 'refused',
  });
});

test('what is not known is left out', () => {
  expect(Object.keys(JSON.parse(accessLine(ended(), 't')))).toEqual([
    ...['time', 'requestId', 'method', 'totalMs', 'bytesIn', 'bytesOut', 'status', 'outcome'],
  ]);
});

test.each(['"', '\\', '\n', '\u2028', '","outcome":"x'])('a line cannot be broken by %j', (text) => {
  const broken = ended({ method: text, caller: text, runtimeName: text, keyId: text, sessionHash: text });
  const line = accessLine(broken, 't');
  expect(line).not.toContain('\n');
  expect(JSON.parse(line)).toMatchObject({ method: text, caller: text, agentRuntimeName: text, keyId: text });
});

test.each<[Partial<CallRecord>, boolean]>([
  [{}, false],
  [{ status: 302 }, false],
  [{ status: 404 }, true],
  [{ status: 500 }, true],
  [{ outcome: 'cut' }, true],
  [{ outcome: 'client-gone', status: 0 }, true],
  [{ outcome: 'refused', status: 429 }, true],
])('%j went wrong: %s; that is written whatever the share', (more, isWrong) => {
  const record = ended(more);
  expect(isWritten('off', 1, record, 0)).toBe(false);
  expect(isWritten('errors', 1, record, 0)).toBe(isWrong);
  expect(isWritten('all', 1, record, 0.999)).toBe(true);
  expect(isWritten('all', 0, record, 0)).toBe(isWrong);
  expect(isWritten('all', 0.25, record, 0.24)).toBe(true);
  expect(isWritten('all', 0.25, record, 0.25)).toBe(isWrong);
});

test('a time is written as ISO 8601 has it, forwards and backwards', () => {
  const write = timeOf();
  for (const ms of [
    0, 1, 999, 1000, 1_795_680_000_007, 1_795_680_000_999.9, 1_795_680_001_000, 1_795_679_999_010,
  ])
    expect(write(ms)).toBe(new Date(ms).toISOString());
});
