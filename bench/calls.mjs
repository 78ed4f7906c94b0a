import { Agent, request } from 'node:http';

/**
 * Calls again and again on so many connections that are kept, each as soon as the one before it is answered.
 * @param next asked before every call, with its number from 0: `{ url, method, body, expect, timed }`; `expect` says
 *   of the answer's text whether it is the right one, `timed: false` leaves it out of `times`. `undefined` ends that
 *   connection.
 * @returns `{ stop, done }`: `stop()` lets the open calls finish and, as `done`, resolves to `{ calls, times, failures }`:
 *   how many, their times in ms, and one text for each that was not answered with 200 and the right text
 */
export function callAgainAndAgain(concurrency, next) {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  const times = [];
  const failures = [];
  let number = 0;
  let calls = 0;
  let running = true;
  const worker = async () => {
    while (running) {
      const call = next(number++);
      if (!call) return;
      const begun = performance.now();
      const fault = await once(call, agent);
      calls++;
      if (call.timed !== false) times.push(performance.now() - begun);
      if (fault !== undefined) failures.push(fault);
    }
  };
  const done = Promise.all(Array.from({ length: concurrency }, worker)).then(() => {
    agent.destroy();
    return { calls, times, failures };
  });
  return {
    done,
    stop() {
      running = false;
      return done;
    },
  };
}

/** @returns what was wrong; undefined for a good answer */
function once({ url, method = 'GET', body, expect = () => true }, agent) {
  return new Promise((resolve) => {
    const sent = request(url, { agent, method }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => {
        text += piece;
      });
      response.once('error', (error) => resolve(`cut off: ${error.message}`));
      response.once('end', () => {
        if (!response.complete) resolve('cut off');
        else if (response.statusCode !== 200) resolve(`HTTP ${response.statusCode} ${text}`);
        else resolve(expect(text) ? undefined : `the answer of another: ${text}`);
      });
    });
    sent.once('error', (error) => resolve(error.message));
    sent.end(body);
  });
}
