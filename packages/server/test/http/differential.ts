import type { RequestHead } from '../../src/http/request-head.ts';
import type { ResponseHead } from '../../src/http/response-head.ts';
import { Random } from '../model/random.ts';
import { answerParts, type Parts, randomCuts, requestParts } from './generate.ts';
import { type NodeMessage, NodeRequests, readWithClients } from './node-parser.ts';
import { type Reading, readAnswers, readRequests, summary } from './reading.ts';

/**
 * Compares the readers with Node's parser in strict mode: whatever the readers accept, it reads the same way. What
 * they refuse need not be refused by it.
 */
export interface Comparison {
  cases: number;
  /** Cases of which at least one message was accepted, and all messages. */
  accepted: number;
  messages: number;
  /** The shortest case found that was read in two ways; undefined: there was none. */
  difference: Difference | undefined;
}

export interface Difference {
  seed: number;
  raw: string;
  /** What differs, and how. */
  what: string;
}

/** So many cases are compared at a time. */
const BATCH = 250;

interface Kind {
  parts(random: Random): string[];
  /** What the readers accept; an empty text: nothing. */
  accepted(parts: Parts, random: Random): { ours: NodeMessage[]; fault: string | undefined };
  theirs(cases: readonly { parts: Parts }[]): Promise<NodeMessage[][]>;
}

const REQUESTS: Kind = {
  parts: requestParts,
  accepted: (parts, random) => {
    const bytes = bytesOf(parts);
    const reading = readRequests([bytes]);
    const again = readRequests(randomCuts(random, bytes));
    return { ours: untilUpgrade(reading).map(requestMessage), fault: cutFault(reading, again) };
  },
  theirs: async (given) => {
    const read = await new NodeRequests().read(given.map(({ parts }) => bytesOf(parts)));
    for (const messages of read) for (const message of messages) message.line = withoutHost(message.line);
    return read;
  },
};

/** @param seed of the first case; each further one has the next */
export async function compareRequests(seed: number, cases: number): Promise<Comparison> {
  return await compare(seed, cases, REQUESTS);
}

/** @returns what of these requests is read in two ways; undefined: nothing is */
export async function differenceOf(raw: string): Promise<string | undefined> {
  const { ours, fault } = REQUESTS.accepted([raw], new Random(1));
  const [theirs = []] = await REQUESTS.theirs([{ parts: [raw] }]);
  return fault ?? differs(ours, theirs);
}

export async function compareAnswers(seed: number, cases: number): Promise<Comparison> {
  const methodOf = (parts: Parts) => ['GET', 'POST', 'HEAD'][bytesOf(parts).length % 3]!;
  /** One request is answered: by interim answers and a final one. After 101 another protocol is spoken. */
  const untilFinal = ({ messages }: Reading<ResponseHead>) => {
    const final = messages.findIndex(({ head }) => head.status >= 200 || head.status === 101);
    if (final === -1) return messages;
    return messages.slice(0, messages[final]!.head.status === 101 ? final : final + 1);
  };
  return await compare(seed, cases, {
    parts: answerParts,
    accepted: (parts, random) => {
      const bytes = bytesOf(parts);
      const method = methodOf(parts);
      const reading = readAnswers([bytes], method);
      const again = readAnswers(randomCuts(random, bytes), method);
      return { ours: untilFinal(reading).map(answerMessage), fault: cutFault(reading, again) };
    },
    theirs: async (given) =>
      await readWithClients(
        given.map(({ parts }) => ({ bytes: bytesOf(parts), method: methodOf(parts), ends: true })),
      ),
  });
}

async function compare(seed: number, cases: number, kind: Kind): Promise<Comparison> {
  const result: Comparison = { cases, accepted: 0, messages: 0, difference: undefined };
  for (let from = 0; from < cases; from += BATCH) {
    const open: { seed: number; parts: string[]; ours: NodeMessage[] }[] = [];
    for (let index = from; index < Math.min(cases, from + BATCH); index++) {
      const random = new Random(seed + index);
      const parts = kind.parts(random);
      const { ours, fault } = kind.accepted(parts, random);
      if (fault !== undefined) {
        result.difference = { seed: seed + index, raw: parts.join(''), what: fault };
        return result;
      }
      if (ours.length === 0) continue;
      result.accepted++;
      result.messages += ours.length;
      open.push({ seed: seed + index, parts, ours });
    }
    const theirs = await kind.theirs(open);
    for (const [index, { seed: ofCase, parts, ours }] of open.entries()) {
      if (differs(ours, theirs[index]!) !== undefined) {
        result.difference = await shrink(ofCase, parts, kind);
        return result;
      }
    }
  }
  return result;
}

/** Leaves out parts, then letters, as long as the rest is still read in two ways. */
async function shrink(seed: number, parts: string[], kind: Kind): Promise<Difference> {
  const look = async (tried: Parts) => {
    const { ours } = kind.accepted(tried, new Random(seed));
    const [theirs = []] = await kind.theirs([{ parts: tried }]);
    return differs(ours, theirs);
  };
  let shortest = parts;
  let what = (await look(parts)) ?? 'only together with other cases';
  for (const split of [(from: string[]) => from, (from: string[]) => from.join('').split('')]) {
    shortest = split(shortest);
    for (let at = shortest.length - 1; at >= 0; at--) {
      const tried = shortest.filter((_, other) => other !== at);
      const seen = await look(tried);
      if (seen === undefined) continue;
      shortest = tried;
      what = seen;
    }
  }
  return { seed, raw: shortest.join(''), what };
}

/** @returns the first thing that is read in two ways; undefined: nothing is */
function differs(ours: readonly NodeMessage[], theirs: readonly NodeMessage[]): string | undefined {
  for (const [index, mine] of ours.entries()) {
    const other = theirs[index];
    const which = `message ${index + 1}`;
    if (other === undefined) return `${which} is not read by Node: ${mine.line}`;
    if (mine.line !== other.line) return `${which} begins with ${mine.line}, for Node with ${other.line}`;
    if (mine.fields.join('\n') !== other.fields.join('\n')) {
      return `${which} has the fields ${JSON.stringify(mine.fields)}, for Node ${JSON.stringify(other.fields)}`;
    }
    if (mine.body !== other.body || !other.isComplete) {
      return `${which} has the body ${JSON.stringify(mine.body)}, for Node ${JSON.stringify(other.body)}${other.isComplete ? '' : ', unfinished'}`;
    }
  }
  return undefined;
}

function cutFault<Head extends RequestHead | ResponseHead>(
  whole: Reading<Head>,
  cut: Reading<Head>,
): string | undefined {
  const [one, other] = [summary(whole), summary(cut)];
  return one === other
    ? undefined
    : `cut in pieces it is read as ${JSON.stringify(other)}, and whole as ${JSON.stringify(one)}`;
}

function requestMessage({ head, body }: { head: RequestHead; body: string }): NodeMessage {
  const { method, target, minor, section } = head;
  return { line: `${method} ${target} 1.${minor}`, fields: section.fields, body, isComplete: true };
}

/** What follows a request for another protocol is not known to be HTTP before it is answered. */
function untilUpgrade({ messages }: Reading<RequestHead>) {
  const last = messages.findIndex(
    ({ head: { section } }) => section.upgrade !== undefined && section.connection.includes('upgrade'),
  );
  return last === -1 ? messages : messages.slice(0, last + 1);
}

/** Targets in absolute form lose scheme and host with us, and not with Node. */
function withoutHost(line: string): string {
  const [method, target, version] = line.split(' ');
  const absolute = /^https?:\/\/[^/?]*(.*)$/i.exec(target!);
  if (!absolute) return line;
  const rest = absolute[1]!;
  if (rest === '' && method === 'OPTIONS') return `${method} * ${version}`;
  return `${method} ${rest.startsWith('/') ? rest : `/${rest}`} ${version}`;
}

function answerMessage({ head, body }: { head: ResponseHead; body: string }): NodeMessage {
  const { status, reason, minor, section } = head;
  return { line: `1.${minor} ${status} ${reason}`, fields: section.fields, body, isComplete: true };
}

function bytesOf(parts: Parts): Buffer {
  return Buffer.from(parts.join(''), 'latin1');
}
