import type { EndpointRecord, RuntimeRecord } from '../../src/store/store.ts';
import type { Write } from './gated-store.ts';

export interface ModelEndpoint {
  name: string;
  target: string;
  deleting: boolean;
}

export interface ModelRuntime {
  id: string;
  name: string;
  /** What was asked for, in the order in which it was written; the last is what is wanted. */
  wanted: string[];
  deleting: boolean;
  gone: boolean;
  endpoints: Map<string, ModelEndpoint>;
}

/** What should be, from the writes alone: the last one counts, a delete outranks all. */
export class Model {
  readonly runtimes = new Map<string, ModelRuntime>();

  written(write: Write, args: readonly unknown[], result: unknown): void {
    const id = String(args[0]);
    const it = this.runtimes.get(id);
    switch (write) {
      case 'createRuntime': {
        const { id: newId, name, spec } = result as RuntimeRecord;
        const wanted = [spec.environmentVariables?.VALUE ?? ''];
        const endpoints = new Map<string, ModelEndpoint>();
        this.runtimes.set(newId, { id: newId, name, wanted, deleting: false, gone: false, endpoints });
        return;
      }
      case 'updateRuntime':
        if (result) it?.wanted.push((result as RuntimeRecord).spec.environmentVariables?.VALUE ?? '');
        return;
      case 'markRuntimeDeleting':
        if (it && result) it.deleting = true;
        return;
      case 'removeRuntime':
        if (it) it.gone = true;
        return;
      case 'createEndpoint':
      case 'updateEndpoint': {
        if (!result) return;
        const { id: endpointId, runtimeId, name, spec } = result as EndpointRecord;
        const target = spec.targetVersion ?? '';
        this.runtimes.get(runtimeId)?.endpoints.set(endpointId, { name, target, deleting: false });
        return;
      }
      case 'markEndpointDeleting': {
        const endpoint = it?.endpoints.get(String(args[1]));
        if (endpoint && result) endpoint.deleting = true;
      }
    }
  }
}
