import type { ScalingConfig, ScheduledPolicy } from '@runstead/contract';
import { type Cron, lastFiring, nextFiring, parseCron } from './cron.ts';
import { isTimeZone, momentOf } from './time-zone.ts';

/** How many instances an endpoint asks for whatever its calls, by the clock. Pure: time is an argument. */

/** What is asked for, and why. */
export interface Minimum {
  instances: number;
  /** In words; empty when nothing is asked for. */
  cause: string;
  /** ms since 1970: until then it stays so. Undefined: for good. */
  until: number | undefined;
  /** Policies that cannot be read and count for nothing, each with its fault; as releases before let them in. */
  faults: string[];
}

interface Policy {
  name: string;
  cron: Cron;
  timeZone: string;
  /** ms since 1970. */
  from: number;
  to: number;
  target: number;
}

/** Policies of one endpoint. */
const MOST_POLICIES = 100;
/** No clock is asked about times before. */
const NEVER_BEFORE = Date.UTC(1970, 0, 2);
const DEFAULT_ZONE = 'UTC';

/**
 * What an endpoint asks for at a moment. Of the policies whose time it is (`startTime` to `endTime`), the one that fired last
 * says how many; of two that fired at the same moment, the later in the list. Before the first firing, and without policies,
 * it is `minInstances`; never less.
 *
 * Worked example: `minInstances` 1, 8 o'clock → 5, 20 o'clock → 1: at noon 5, at midnight 1.
 */
export function minimumAt(config: ScalingConfig | undefined, nowMs: number): Minimum {
  const { minInstances = 0, scheduledPolicies = [] } = config ?? {};
  const faults: string[] = [];
  let inForce: { policy: Policy; firedAt: number } | undefined;
  let until: number | undefined;
  const changesAt = (moment: number | undefined) => {
    if (moment !== undefined && moment > nowMs && moment < (until ?? Number.POSITIVE_INFINITY))
      until = moment;
  };
  for (const [index, given] of scheduledPolicies.slice(0, MOST_POLICIES).entries()) {
    const policy = read(given, index);
    if ('faults' in policy) {
      faults.push(...policy.faults);
      continue;
    }
    changesAt(policy.from);
    changesAt(Number.isFinite(policy.to) ? policy.to : undefined);
    if (nowMs < policy.from || nowMs >= policy.to) continue;
    changesAt(nextFiring(policy.cron, policy.timeZone, nowMs));
    const firedAt = lastFiring(policy.cron, policy.timeZone, nowMs, policy.from);
    if (firedAt !== undefined && firedAt >= (inForce?.firedAt ?? Number.NEGATIVE_INFINITY))
      inForce = { policy, firedAt };
  }
  const target = inForce?.policy.target ?? 0;
  if (inForce && target >= minInstances) {
    const { policy, firedAt } = inForce;
    const since = new Date(firedAt).toISOString().replace('.000Z', 'Z');
    const cause = `policy '${policy.name}' asks for ${target} since ${since}`;
    return { instances: target, cause, until, faults };
  }
  const cause = minInstances > 0 ? `at least ${minInstances} are asked for` : '';
  return { instances: minInstances, cause, until, faults };
}

/**
 * Checks a scaling configuration as an endpoint write must.
 * @param most instances that a runtime may have on this server
 * @returns one sentence per fault, naming the field and the value; empty when all is well
 */
export function scalingFaults(config: ScalingConfig | undefined, most: number): string[] {
  const { minInstances = 0, scheduledPolicies = [] } = config ?? {};
  const faults: string[] = [];
  const tooMany = (field: string, count: number) => {
    if (count > most)
      faults.push(`scalingConfig.${field} must be at most ${most}, the limit of this server (got ${count})`);
  };
  tooMany('minInstances', minInstances);
  if (scheduledPolicies.length > MOST_POLICIES)
    return [
      ...faults,
      `scalingConfig.scheduledPolicies must have at most ${MOST_POLICIES} policies (got ${scheduledPolicies.length})`,
    ];
  const names = new Set<string>();
  for (const [index, given] of scheduledPolicies.entries()) {
    const policy = read(given, index);
    const field = `scheduledPolicies[${index}]`;
    if ('faults' in policy) faults.push(...policy.faults);
    if (given.name !== undefined && names.has(given.name))
      faults.push(`scalingConfig.${field}.name "${given.name}" is given twice`);
    if (given.name !== undefined) names.add(given.name);
    if (given.target === undefined) continue;
    tooMany(`${field}.target`, given.target);
    if (given.target < minInstances)
      faults.push(
        `scalingConfig.${field}.target must be at least minInstances, which is ${minInstances} (got ${given.target})`,
      );
  }
  return faults;
}

function read(given: ScheduledPolicy, index: number): Policy | { faults: string[] } {
  const faults: string[] = [];
  const field = (name: keyof ScheduledPolicy) => `scalingConfig.scheduledPolicies[${index}].${name}`;
  const { scheduleExpression, target, startTime, endTime, timeZone = DEFAULT_ZONE } = given;
  if (given.name === '') faults.push(`${field('name')} must not be empty`);
  if (target === undefined) faults.push(`${field('target')} is required`);
  const isZone = isTimeZone(timeZone);
  if (!isZone)
    faults.push(
      `${field('timeZone')} must be the name of a time zone such as Asia/Shanghai (got ${quote(timeZone)})`,
    );
  let cron: Cron | undefined;
  if (scheduleExpression === undefined) faults.push(`${field('scheduleExpression')} is required`);
  else {
    const parsed = parseCron(scheduleExpression);
    if ('fault' in parsed)
      faults.push(`${field('scheduleExpression')} ${parsed.fault} (got ${quote(scheduleExpression)})`);
    else cron = parsed;
  }
  const time = (name: 'startTime' | 'endTime', text: string | undefined, fallback: number): number => {
    if (text === undefined) return fallback;
    const moment = readTime(text, isZone ? timeZone : DEFAULT_ZONE);
    if (moment !== undefined) return moment;
    faults.push(
      `${field(name)} must be a time such as 2026-03-01T08:00:00Z, or 2026-03-01T08:00:00 for the clocks of timeZone (got ${quote(text)})`,
    );
    return fallback;
  };
  const from = time('startTime', startTime, NEVER_BEFORE);
  const to = time('endTime', endTime, Number.POSITIVE_INFINITY);
  if (to <= from) faults.push(`${field('endTime')} must be after startTime (got ${quote(endTime ?? '')})`);
  if (faults.length > 0 || !cron || target === undefined) return { faults };
  return {
    name: given.name ?? scheduleExpression!,
    cron,
    timeZone,
    from: Math.max(from, NEVER_BEFORE),
    to,
    target,
  };
}

const TIME = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?$/;

/** @returns ms since 1970; undefined for what is no time, such as the 31st of February */
function readTime(text: string, timeZone: string): number | undefined {
  const match = TIME.exec(text.trim());
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  const asUtc = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const isReal =
    year >= 1970 &&
    asUtc.getUTCMonth() === month - 1 &&
    asUtc.getUTCDate() === day &&
    asUtc.getUTCHours() === hour &&
    minute < 60 &&
    second < 60;
  if (!isReal) return undefined;
  const zone = match[7];
  if (zone === undefined) return momentOf({ year, month, day, hour, minute, second }, timeZone);
  if (zone === 'Z') return asUtc.getTime();
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  if (hours > 23 || minutes > 59) return undefined;
  return asUtc.getTime() - Number(`${zone[0]}1`) * (hours * 60 + minutes) * 60_000;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text);
}
