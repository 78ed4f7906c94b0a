import type { ResourceStatus } from '@runstead/contract';

/**
 * What a status of a runtime or an endpoint means (contract: status machine). Which may follow which, the store's guarded
 * writes hold.
 */

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
