import { posix } from 'node:path';
import type { NASConfig, OSSMountConfig } from '@runstead/contract';

/** The part of a configuration that asks for file systems. */
export interface WantedMounts {
  nasConfig?: NASConfig | undefined;
  ossMountConfig?: OSSMountConfig | undefined;
}

/**
 * Why a configuration cannot be run: the first directory it wants mounted that is not there on this machine. An agent
 * that finds an empty place where its model or its users' files should be must not be started.
 * @param mapped directories the operator has made available, absolute and without a slash at the end
 * @returns a sentence for a person; undefined when everything is there
 */
export function unmappedMount(wanted: WantedMounts, mapped: readonly string[]): string | undefined {
  for (const field of ['nasConfig', 'ossMountConfig'] as const) {
    for (const [i, { mountDir }] of (wanted[field]?.mountPoints ?? []).entries()) {
      const name = `${field}.mountPoints[${i}]`;
      if (mountDir === undefined)
        return `${name} has no mountDir; say where the agent looks for it, or remove it`;
      const folder = folderOf(mountDir);
      if (mapped.includes(folder)) continue;
      return (
        `${name}.mountDir is ${folder}, which this server does not map; have its operator make that directory ` +
        'available on the machine and name it in RUNSTEAD_MOUNTS, or remove the mount point'
      );
    }
  }
  return undefined;
}

/** The directories that a configuration wants mounted, each once. */
export function wantedMounts({ nasConfig, ossMountConfig }: WantedMounts): string[] {
  const points = [...(nasConfig?.mountPoints ?? []), ...(ossMountConfig?.mountPoints ?? [])];
  const folders = points.flatMap(({ mountDir }) => (mountDir === undefined ? [] : [folderOf(mountDir)]));
  return [...new Set(folders)];
}

function folderOf(mountDir: string): string {
  return withoutLastSlash(posix.normalize(mountDir));
}

/** `/mnt/models/` and `/mnt/models` are one directory. */
export function withoutLastSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/$/, '') : path;
}
