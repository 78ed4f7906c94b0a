import { describe, expect, it } from 'vitest';
import { unmappedMount, type WantedMounts } from './mounts.ts';

const nas = (...mountDirs: (string | undefined)[]): WantedMounts => ({
  nasConfig: {
    mountPoints: mountDirs.map((mountDir) => ({
      serverAddr: 'nas.test:/',
      ...(mountDir !== undefined && { mountDir }),
    })),
  },
});
const oss = (...mountDirs: string[]): WantedMounts => ({
  ossMountConfig: { mountPoints: mountDirs.map((mountDir) => ({ bucketName: 'models', mountDir })) },
});
const MAPPED = ['/mnt/models', '/mnt/shared'];

describe('a configuration is run', () => {
  it.each<[string, WantedMounts, string[]]>([
    ['without mounts', {}, []],
    ['with configurations that mount nothing', { nasConfig: {}, ossMountConfig: { mountPoints: [] } }, []],
    ['with one that is mapped', oss('/mnt/models'), MAPPED],
    ['with a slash at the end', oss('/mnt/models/'), MAPPED],
    ['with a name that is said in a longer way', oss('/mnt//./models'), MAPPED],
    ['with several that are mapped', { ...nas('/mnt/shared'), ...oss('/mnt/models', '/mnt/shared') }, MAPPED],
  ])('%s', (_what, wanted, mapped) => {
    expect(unmappedMount(wanted, mapped)).toBeUndefined();
  });
});

describe('a configuration is refused', () => {
  it.each<[string, WantedMounts, string[], string]>([
    ['when nothing is mapped', oss('/mnt/x'), [], 'ossMountConfig.mountPoints[0].mountDir is /mnt/x, which'],
    ['of a NAS as well', nas('/mnt/x'), MAPPED, 'nasConfig.mountPoints[0].mountDir is /mnt/x, which'],
    [
      'by its first fault',
      oss('/mnt/models', '/a', '/b'),
      MAPPED,
      'ossMountConfig.mountPoints[1].mountDir is /a,',
    ],
    [
      'in either field',
      { ...nas('/mnt/shared'), ...oss('/c') },
      MAPPED,
      'ossMountConfig.mountPoints[0].mountDir is /c,',
    ],
    ['for a folder in a mapped one', oss('/mnt/models/new'), MAPPED, 'mountDir is /mnt/models/new,'],
    ['for the folder around a mapped one', oss('/mnt'), MAPPED, 'mountDir is /mnt,'],
    ['for a name that begins like a mapped one', oss('/mnt/models2'), MAPPED, 'mountDir is /mnt/models2,'],
    ['for another case', oss('/mnt/Models'), MAPPED, 'mountDir is /mnt/Models,'],
    ['for one that leads out of a mapped one', oss('/mnt/models/../x'), MAPPED, 'mountDir is /mnt/x,'],
    ['for the root', oss('/'), MAPPED, 'mountDir is /,'],
    ['for a place that is not named', nas(undefined), MAPPED, 'nasConfig.mountPoints[0] has no mountDir;'],
  ])('%s', (_what, wanted, mapped, words) => {
    const reason = unmappedMount(wanted, mapped);
    expect(reason).toContain(words);
    expect(reason).toMatch(/; (have its operator make .* RUNSTEAD_MOUNTS, or|say where) .*remove/);
  });
});
