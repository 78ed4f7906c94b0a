import { RunsteadError } from '@runstead/contract';
import { freeBytes, said } from '../artifacts/measure.ts';
import type { Call } from './call.ts';

/**
 * Refuses what brings something new onto the disk, while less would stay free than must: what is there needs that room
 * to go on, and whoever makes room needs some too.
 * @throws RunsteadError ERR_INSUFFICIENT_STORAGE
 */
export async function requireSpace({ deps, request }: Pick<Call, 'deps' | 'request'>): Promise<void> {
  const { folders, freeSpaceReserveBytes: reserve } = deps;
  const free = await freeBytes(folders.blobs);
  const coming = Number(request.headers['content-length'] ?? 0) || 0;
  if (free - coming >= reserve) return;
  const ofThis = free >= reserve ? `, this request has ${said(coming)}` : '';
  throw new RunsteadError(
    'ERR_INSUFFICIENT_STORAGE',
    `There is no room for a deploy: the disk of the data folder has ${said(free)} free${ofThis}, and ${said(reserve)} must stay free (RUNSTEAD_FREE_SPACE_RESERVE); make room there. What is deployed goes on`,
  );
}
