import { totalmem } from 'node:os';
import { posix } from 'node:path';
import { Language } from '@runstead/contract';
import { type CustomDomain, parseDomains } from './domain/custom-domains.ts';
import { parseEngineAddress } from './domain/engine-address.ts';
import { canonicalHost } from './domain/host-name.ts';
import { parseImageReference } from './domain/image-reference.ts';
import { withoutLastSlash } from './domain/mounts.ts';
import { parseNetwork } from './domain/private-access.ts';
import { parseRateLimit, type RateLimit } from './domain/rate-limit.ts';
import { certificateName } from './tls/certificate-names.ts';

/** How the text of a setting is read. Each takes the text and what to call it, and throws a ConfigError that says what it must be. */

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const MIB = 1024 * 1024;

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads a duration: a number of seconds, or a number with `ms`, `s`, `m` or `h`.
 * @returns milliseconds
 */
export function duration(value: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(value.trim());
  if (!match)
    throw new ConfigError(`${what} must be a duration such as 500ms, 30s, 10m, 1h or 7d; got "${value}"`);
  const unit = { ms: 1, s: SECOND, m: MINUTE, h: 60 * MINUTE, d: 1440 * MINUTE }[match[2] ?? 's']!;
  return Math.round(Number(match[1]) * unit);
}

/**
 * Reads a size: a number of bytes, or a number with `KiB`, `MiB` or `GiB`.
 * @returns bytes
 */
export function size(value: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB)?$/.exec(value.trim());
  if (!match) throw new ConfigError(`${what} must be a size such as 512KiB, 128MiB or 2GiB; got "${value}"`);
  const unit = match[2] ? { KiB: 1024, MiB: MIB, GiB: 1024 * MIB }[match[2]]! : 1;
  return Math.round(Number(match[1]) * unit);
}

/** Reads how often something may be done. */
export function rate(value: string, what: string): RateLimit {
  const limit = parseRateLimit(value.trim());
  if (limit) return limit;
  throw new ConfigError(
    `${what} must be a number from 1 to 1000000 a second, minute or hour, such as 100/s, 600/m or 1000/h, and may have a burst, such as 100/s:200; got "${value}"`,
  );
}

export function text(value: string): string {
  return value;
}

export function list(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** Reads hosts, by commas; an IPv6 address may have its brackets. */
export function hosts(value: string, what: string): string[] {
  return list(value).map((item) => {
    const host = canonicalHost(item);
    if (host === undefined) {
      throw new ConfigError(
        `${what} must be names or addresses without a port, by commas, such as agents.internal,10.0.0.7; got "${item}"`,
      );
    }
    return host;
  });
}

export function hostsOrNone(value: string, what: string): string[] {
  return value.trim() === 'none' ? [] : hosts(value, what);
}

export function certificateNames(value: string, what: string): string[] {
  return list(value).map((item) => {
    const name = certificateName(item);
    if (name === undefined) {
      throw new ConfigError(
        `${what} must be names or addresses without a port, by commas, such as box.local,*.agents.example.com,10.0.0.7; got "${item}"`,
      );
    }
    return name;
  });
}

export function domains(value: string, what: string): CustomDomain[] {
  return parseDomains(list(value), (fault) => {
    throw new ConfigError(
      `${what} must be hosts and what they stand for, by commas, such as chat.example.com=hello/Default; ${fault}`,
    );
  });
}

export function networks(value: string, what: string): string[] {
  return list(value).map((item) => {
    if (parseNetwork(item)) return item;
    throw new ConfigError(
      `${what} must be addresses or blocks of them, by commas, such as 10.0.0.0/8,fd00::/8; got "${item}"`,
    );
  });
}

/** Reads absolute paths, by commas. A slash at the end says nothing. */
export function folders(value: string, what: string): string[] {
  return list(value).map((item) => {
    const path = withoutLastSlash(item);
    if (!posix.isAbsolute(path) || path === '/' || posix.normalize(path) !== path) {
      throw new ConfigError(
        `${what} must be absolute paths of directories, by commas, such as /mnt/models,/mnt/shared; got "${item}"`,
      );
    }
    return path;
  });
}

/**
 * Reads a size, or a part of the memory that there is, such as `80%`.
 * @returns bytes; undefined for `none`
 */
export function memoryShare(value: string, what: string): number | undefined {
  if (value.trim() === 'none') return undefined;
  const percent = /^(\d{1,3})%$/.exec(value.trim())?.[1];
  const wrong = () =>
    new ConfigError(`${what} must be a size such as 8GiB, a part such as 80%, or none; got "${value}"`);
  if (percent === undefined) {
    if (!/^\d/.test(value.trim()) || value.trim().endsWith('%')) throw wrong();
    return size(value, what);
  }
  if (Number(percent) < 1 || Number(percent) > 100) throw wrong();
  // In a container there may be less than the machine has; 0 and numbers beyond it mean that there is no such limit.
  const limit = process.constrainedMemory?.() || Number.POSITIVE_INFINITY;
  return Math.floor((Math.min(totalmem(), limit) * Number(percent)) / 100);
}

export function httpUrl(value: string, what: string): string {
  if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) {
    throw new ConfigError(`${what} must be an http or https URL; got "${value}"`);
  }
  return value.replace(/\/+$/, '');
}

/** The value is not shown: who puts a password into a URL, does it here. */
export function storeUrl(value: string, what: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '')
    throw new ConfigError(`${what} must be an http or https URL such as https://store.example:9000`);
  if (url.username !== '' || url.password !== '')
    throw new ConfigError(`${what} must have no user or password in it; use RUNSTEAD_S3_ACCESS_KEY_ID`);
  return value.replace(/\/+$/, '');
}

export function engineHost(value: string, what: string): string {
  if (value === 'none') return value;
  const address = parseEngineAddress(value);
  if (typeof address !== 'string') return value;
  throw new ConfigError(`${what} ${address}, or "none"; got "${value}"`);
}

/** As they are called by who knows them best: official images of each language, small. */
export const DEFAULT_CODE_IMAGES: Readonly<Record<string, string>> = Object.fromEntries(
  Language.options.flatMap((language) => {
    const [, family, release] = /^(nodejs|python)([\d.]+)$/.exec(language) ?? [];
    return family ? [[language, `${family === 'nodejs' ? 'node' : 'python'}:${release}-slim`]] : [];
  }),
);

/** Reads images by language; those of languages that are not named stay what they are. */
export function codeImages(value: string, what: string): Readonly<Record<string, string>> {
  const given = list(value).map((item) => {
    const [language = '', image = ''] = item.split(/=(.*)/s);
    if (Language.safeParse(language).success && parseImageReference(image)) return [language, image];
    throw new ConfigError(
      `${what} must be languages and their images, by commas, such as nodejs20=node:20-slim,custom=localhost/base; got "${item}"`,
    );
  });
  return { ...DEFAULT_CODE_IMAGES, ...Object.fromEntries(given) };
}

export function yesOrNo(value: string, what: string): boolean {
  return oneOf('yes', 'no')(value, what) === 'yes';
}

/** Reads a whole number within a range. */
export function whole(min: number, max: number) {
  return (value: string, what: string): number => {
    const number = Number(value);
    if (!/^\d+$/.test(value.trim()) || number < min || number > max) {
      throw new ConfigError(`${what} must be a whole number from ${min} to ${max}; got "${value}"`);
    }
    return number;
  };
}

/** Reads a part of a whole. @returns in [0,1] */
export function share(value: string, what: string): number {
  const number = Number(value);
  if (!/^\d*\.?\d+$/.test(value.trim()) || number > 1)
    throw new ConfigError(`${what} must be a number from 0 to 1, such as 0.01; got "${value}"`);
  return number;
}

/** Reads one of the words given. */
export function oneOf<T extends string>(...words: T[]) {
  return (value: string, what: string): T => {
    if (!(words as string[]).includes(value)) {
      throw new ConfigError(`${what} must be one of ${words.join(', ')}; got "${value}"`);
    }
    return value as T;
  };
}

/** It stands unquoted in `Credential=…/…,` (contract: signing). */
export function accessKeyId(value: string, what: string): string {
  if (/^[A-Za-z0-9_.-]{1,128}$/.test(value)) return value;
  // Not repeated: it may be the secret, set in the wrong place.
  throw new ConfigError(
    `${what} must have 1 to 128 letters, digits, "_", "." and "-"; what it was set to has ${value.length} characters, and others among them`,
  );
}
