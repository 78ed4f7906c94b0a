import { setTimeout as delay } from 'node:timers/promises';
import { describeAnswer } from './control-plane.mjs';

const PAUSE_MS = 40;

/**
 * Calls whatever a slot's name stands for, until told to stop, and holds every answer against what was written.
 * @param hasGateway whether the gateway is left alone meanwhile: then there is an answer to every call
 */
export async function callAlong(slot, random, { control, ledger, isOver, hasGateway }) {
  while (!isOver()) {
    if (slot.runtime) {
      const atLeast = slot.served;
      const seen = await control.call(slot.name);
      ledger.count(seen.kind === 'answered' && seen.status === 200 ? 'calls answered' : 'calls not answered');
      if (hasGateway && (seen.kind !== 'answered' || seen.status === 502))
        ledger.add('cut', `a call to ${slot.name}, while the gateway was there, got ${describeAnswer(seen)}`);
      if (seen.kind === 'answered' && seen.status === 200) judge(slot, seen.body, atLeast, ledger);
    }
    await delay(random.below(PAUSE_MS));
  }
}

/** @param atLeast the revision that had answered before this call began: LATEST never moves down */
export function judge(slot, body, atLeast, ledger) {
  const sent = slot.sent.get(body?.revision);
  const told = `a call to ${slot.name} was answered ${JSON.stringify(body)}`;
  if (body?.runtime !== slot.name || !sent) ledger.add('untrue', `${told}, which was never deployed there`);
  else if (sent.crashes) ledger.add('untrue', `${told}, a revision that cannot start`);
  else if (sent.variant !== body.variant) ledger.add('untrue', `${told}, but its package is ${sent.variant}`);
  else if (body.revision < atLeast) ledger.add('untrue', `${told}, after revision ${atLeast} had answered`);
  else slot.served = Math.max(slot.served, body.revision);
}
