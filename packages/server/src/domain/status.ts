import type { ResourceStatus } from '@runstead/contract';

/** The status machine of runtimes and endpoints (contract: status machine). Only this file says what may follow what. */

const next: Record<ResourceStatus, readonly ResourceStatus[]> = {
  CREATING: ['READY', 'CREATE_FAILED', 'UPDATING', 'DELETING'],
  CREATE_FAILED: ['UPDATING', 'DELETING'],
  UPDATING: ['READY', 'UPDATE_FAILED', 'UPDATING', 'DELETING'],
  UPDATE_FAILED: ['UPDATING', 'DELETING'],
  READY: ['UPDATING', 'DELETING'],
  DELETING: ['DELETING', 'DELETE_FAILED'],
  DELETE_FAILED: ['DELETING'],
};

export function canFollow(from: ResourceStatus, to: ResourceStatus): boolean {
  return next[from].includes(to);
}

/** What a client stops waiting at. */
export function isFinal(status: ResourceStatus): boolean {
  return status === 'READY' || status.endsWith('_FAILED');
}

/** Work is under way that a restarted server has to take up again. */
export function isUnsettled(status: ResourceStatus): boolean {
  return status === 'CREATING' || status === 'UPDATING' || status === 'DELETING';
}

/** Where an attempt that did not succeed leaves the resource. */
export function failedStatus(status: 'CREATING' | 'UPDATING'): 'CREATE_FAILED' | 'UPDATE_FAILED' {
  return status === 'CREATING' ? 'CREATE_FAILED' : 'UPDATE_FAILED';
}

/** A runtime on its way out: it takes no writes, and new calls are refused. */
export function isLeaving(status: ResourceStatus): boolean {
  return status === 'DELETING' || status === 'DELETE_FAILED';
}
