import { setTimeout as delay } from 'node:timers/promises';
import { waitForRuntime } from '../../examples/demo/deploy.mjs';
import { callAgainAndAgain } from '../calls.mjs';
import { callUrl, instancesOf } from '../fixture.mjs';

/** Long enough for a stream to see a rollout begin and end. */
const STREAM_EVENTS = 100;
const STREAM_EVERY_MS = 30;
/** A little more than the default drain of what is open here. */
const DRAINED_WITHIN_MS = 20_000;

/**
 * Updates a runtime again and again, spread over so many calls that are made meanwhile.
 * @param good the code of updates that succeed
 * @param broken the code of those that fail; not needed where `failing` is 0
 * @param streams how many event streams are open all the time; the agent must have `/stream`
 * @returns `{ calls, times, failures, streams, rolloutMs, most, undrained }`: `times` of calls that take up to 10 ms,
 *   `streams` as `{ calls, failures }`, most instances at once, and how many of replaced versions are left at the end
 */
export async function rollUnderLoad({ client, server, runtime, good, broken, ...counts }) {
  const { calls: wanted, concurrency, rollouts, failing = 0, streams = 0 } = counts;
  const { agentRuntimeId: id, agentRuntimeName: name } = runtime;
  const updates = rollouts + failing;
  const url = callUrl(server, name);
  let rolling = true;
  let made = 0;
  const load = callAgainAndAgain(concurrency, (number) => {
    made = number;
    return number < wanted || rolling ? callOf(url, number) : undefined;
  });
  let most = 0;
  const watch = async () => {
    while (rolling) {
      most = Math.max(most, (await instancesOf(server, id)).length);
      await delay(50);
    }
  };
  const watching = watch();
  const streaming = callAgainAndAgain(streams, () => streamOf(url));

  const rolloutMs = [];
  try {
    for (let number = 1; number <= updates; number++) {
      const fails = failing > 0 && number % (updates / failing) === 0;
      // Spread over all of the calls; at once where those are ahead.
      while (made < ((number - 1) / updates) * wanted) await delay(5);
      const begun = performance.now();
      await client.update(id, {
        codeConfiguration: fails ? broken : good,
        environmentVariables: { UPDATE: String(number) },
      });
      const { status, statusReason } = await waitForRuntime(client, id);
      if (status !== (fails ? 'UPDATE_FAILED' : 'READY'))
        throw new Error(`update ${number}: ${status}: ${statusReason}`);
      if (!fails) rolloutMs.push(performance.now() - begun);
    }
  } finally {
    rolling = false;
  }
  const called = await load.done;
  const streamed = await streaming.stop();
  await watching;
  const newest = (await client.get(id)).agentRuntimeVersion;
  if (newest !== String(rollouts + 1))
    throw new Error(`after ${rollouts} rollouts the newest version is ${newest}`);
  return { ...called, streams: streamed, rolloutMs, most, undrained: await undrained(server, id, newest) };
}

/** Half of them come back at once, others are on their way while versions change. */
function callOf(url, number) {
  if (number % 2 === 1) {
    const ms = number % 100 === 1 ? 250 : 10;
    return {
      timed: ms === 10,
      url: `${url}slow?ms=${ms}`,
      expect: (text) => text === JSON.stringify({ delayedMs: ms }),
    };
  }
  const body = `call-${number}`;
  const answer = JSON.stringify({ method: 'POST', path: `/echo/${number}`, body });
  return { url: `${url}echo/${number}`, method: 'POST', body, expect: (text) => text === answer };
}

const EVENTS = [...Array(STREAM_EVENTS).keys(), 'done'].map((event) => `data: ${event}\n\n`).join('');

function streamOf(url) {
  return {
    url: `${url}stream?events=${STREAM_EVENTS}&every=${STREAM_EVERY_MS}`,
    expect: (text) => text === EVENTS,
  };
}

/** How many instances of other versions are left once they had the time to drain. */
async function undrained(server, id, newest) {
  const deadline = performance.now() + DRAINED_WITHIN_MS;
  for (;;) {
    const old = (await instancesOf(server, id)).filter((it) => it.agentRuntimeVersion !== newest);
    if (old.length === 0 || performance.now() > deadline) return old.length;
    await delay(20);
  }
}
