import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Writes requests down as a script for wrk, which sends them by turns.
 * @param requests whole, as on the wire
 * @returns the script's path
 */
export async function wrkScript(folder, name, requests) {
  const file = join(folder, `${name}.lua`);
  await writeFile(
    file,
    [
      `local requests = {${requests.map(luaText).join(',\n')}}`,
      'local at = 0',
      'request = function()',
      '  at = at % #requests + 1',
      '  return requests[at]',
      'end',
      'done = function(summary, latency)',
      '  local e = summary.errors',
      `  io.write(string.format('\\nRESULT {"calls":%d,"us":%d,"failed":%d,"p50us":%d,"p99us":%d}\\n',`,
      '    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,',
      '    latency:percentile(50), latency:percentile(99)))',
      'end',
      '',
    ].join('\n'),
  );
  return file;
}

/**
 * Sends a script's requests to a port of this machine, each connection its next as soon as it has its answer.
 * @param seconds whole ones
 * @param cpu the number of the processor it is to be on; absent: any
 * @returns `{ calls, perSecond, p50us, p99us }` @throws Error when a single one was not answered with 2xx or 3xx
 */
export async function load(port, script, { connections, seconds, cpu }) {
  const args = ['-t', '1', '-c', connections, '-d', `${seconds}s`, '--timeout', '10s', '-s', script];
  const command = ['wrk', ...args.map(String), `http://127.0.0.1:${port}/`];
  const text = await run(...(cpu === undefined ? command : ['taskset', '-c', cpu, ...command]));
  const { us, failed, ...counts } = JSON.parse(/^RESULT (.*)$/m.exec(text)?.[1] ?? 'null') ?? {};
  if (counts.calls === undefined) throw new Error(`wrk told no result: ${text}`);
  if (failed > 0) throw new Error(`${failed} of ${counts.calls} calls to port ${port} failed: ${text}`);
  if (counts.calls === 0) throw new Error(`no call to port ${port} was answered in ${seconds} s`);
  return { ...counts, perSecond: (counts.calls / us) * 1e6 };
}

/** Ends by itself when its time is over. */
function run(command, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = () => child.kill();
    process.on('exit', kill);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (piece) => {
        text += piece;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => {
      process.removeListener('exit', kill);
      if (code === 0) resolve(text);
      else reject(new Error(`${command} ended with ${code}: ${text}`));
    });
  });
}

function luaText(text) {
  const escaped = [...Buffer.from(text, 'latin1')].map((byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\${String(byte).padStart(3, '0')}`,
  );
  return `"${escaped.join('')}"`;
}
