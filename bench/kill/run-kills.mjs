import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOf } from '../processes.mjs';
import { audit, resolvePending, untilFinal, untilTakenIn } from './audit.mjs';
import { callAlong } from './caller.mjs';
import { ControlPlane } from './control-plane.mjs';
import { makeHome } from './homes.mjs';
import { Ledger } from './ledger.mjs';
import { findLeftovers } from './leftovers.mjs';
import { Random } from './random.mjs';
import { Slot } from './slot.mjs';
import { SupervisedServer } from './supervised-server.mjs';
import { write } from './writer.mjs';

const SLOTS = 6;
/** Writing goes on for up to this after a kill. */
const AFTER_KILL_MS = 400;
const AT_ONCE_SHARE = 0.2;

/**
 * Kills parts of a server at random moments of a mix of writes and calls, and after each holds what the server says
 * against everything it has acknowledged.
 * @param instances what they run in: one of `HOMES`
 * @param kinds what to kill, in this order: `control`, `gateway` or `both`
 * @param seed of all chance; the moments within the server are the machine's own
 * @returns `{ lost, untrue, cut, orphans, notFinal }`, texts of what was found, and `counts` of what was done
 */
export async function runKills({ instances = 'sandboxed', kinds, seed, say = () => {} }) {
  const random = new Random(seed);
  const folder = await mkdtemp(join(tmpdir(), 'runstead-kills-'));
  const home = await makeHome(instances, folder);
  const server = new SupervisedServer(join(folder, 'data'), { RUNSTEAD_STOP_GRACE: '2s', ...home.env });
  const ledger = new Ledger(say);
  try {
    await server.start();
    const control = new ControlPlane(server);
    const slots = Array.from(
      { length: SLOTS },
      (_, index) => new Slot(`agent-${index}`, home.artifactsOf(index)),
    );
    const context = { control, home, server, ledger };
    /** Whether there is a gateway that takes calls: nobody killed it since it was last seen to. */
    let hasGateway = true;
    const rest = async (options) => {
      await server.ready();
      hasGateway = true;
      await untilTakenIn(context);
      await untilFinal(context);
      for (const slot of slots) await resolvePending(slot, context);
      await Promise.all(slots.map((slot) => audit(slot, context, options)));
      await findLeftovers(slots, context);
    };
    for (const [index, kind] of kinds.entries()) {
      const begun = performance.now();
      hasGateway &&= kind === 'control';
      const moment = await writeAndKill(slots, kind, random, { ...context, hasGateway });
      // Now and then the next kill falls into the recovery from this one.
      if (index < kinds.length - 1 && random.isUnder(AT_ONCE_SHARE)) {
        say(`kill ${index + 1}/${kinds.length}: ${kind} after ${moment} ms; the next one follows at once`);
        continue;
      }
      // What cannot be read back with nothing being killed is a finding, not the end of the run.
      await rest().catch((error) => ledger.add('notFinal', `after kill ${index + 1}: ${error.message}`));
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      say(
        `kill ${index + 1}/${kinds.length}: ${kind} after ${moment} ms; settled and checked in ${seconds} s`,
      );
    }
    await rest({ thorough: true });
    for (const text of server.surprises) say(`  the server ended by itself: ${text}`);
    ledger.count('ends of the server by itself', server.surprises.length);
    await server.stop();
    for (const pid of [...processesOf(server.data), ...server.strays()])
      ledger.add('orphans', `process ${pid} after the server was stopped`);
    for (const text of await home.leftovers(server.data, []))
      ledger.add('orphans', `${text} after the server was stopped`);
    return { ...ledger.findings, counts: Object.fromEntries(ledger.counts) };
  } finally {
    await server.stop();
    for (const pid of [...processesOf(server.data), ...server.strays()]) end(pid);
    await home.dispose();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** @returns the moment of the kill, in ms after the writers began */
async function writeAndKill(slots, kind, random, context) {
  let over = false;
  const during = { ...context, isOver: () => over };
  const work = slots.flatMap((slot) => [
    write(slot, random.fork(), during),
    callAlong(slot, random.fork(), during),
  ]);
  const moment = Math.round(random.below(context.home.beforeKillMs));
  const after = random.below(AFTER_KILL_MS);
  await delay(moment);
  await context.server.kill(kind);
  await delay(after);
  over = true;
  await Promise.all(work);
  return moment;
}

function end(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile.
  }
}
