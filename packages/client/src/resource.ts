import { type Caller, type CallerMemory, sharedMemory } from './caller.ts';
import { type Config, mergeConfigs } from './config/config.ts';
import {
  DeleteResourceError,
  ResourceFailedError,
  ResourceNotExistError,
  type ResourceReference,
  type SeenResource,
} from './errors.ts';
import type { DeleteOptions, WaitOptions } from './wait.ts';

type Fields = Record<string, unknown>;

/** Loaded when it is needed, as much else is that few programs use: a short script should not wait for it. */
const waiting = () => import('./wait.ts');

/**
 * What runtimes and endpoints have in common as objects: the fields of the wire as properties, unknown ones included,
 * and methods beside them. A field that is called like a method is left out. Copies (`{ ...runtime }`, JSON, structured
 * clones) have the fields alone.
 */
export abstract class Resource {
  #caller: Caller;
  /** The platform's id of the request that filled the object last; in no copy and no JSON. */
  declare readonly requestId: string | undefined;

  protected constructor(data: object, config: Config = {}, memory: CallerMemory = sharedMemory) {
    this.#caller = { config, memory };
    this._fill(data);
  }

  /** Settings of all further calls of this object. */
  setConfig(config: Config): this {
    this.#caller = { ...this.#caller, config };
    return this;
  }

  /** Lays fields over those that are there; sends nothing. */
  updateSelf(data: object): this {
    for (const [name, value] of Object.entries(data)) {
      // Methods stand above; and `__proto__` in JSON is a field, not a prototype.
      if (name in Object.getPrototypeOf(this)) continue;
      Object.defineProperty(this, name, { value, enumerable: true, configurable: true, writable: true });
    }
    return this;
  }

  /** Reads the resource anew into this object. */
  abstract refresh(config?: Config): Promise<this>;

  /** Asks for the deletion; the object keeps its fields. */
  abstract delete(config?: Config): Promise<this>;

  /**
   * Reads the object anew until its status is final, at first at once: `READY`, a `*_FAILED`, or none.
   * @throws ResourceFailedError for a `*_FAILED`, unless `throwOnFailure` is `false`; ResourceNotExistError where it is
   *   deleted meanwhile; TimeoutError with the last status
   */
  async waitUntilReadyOrFailed(options: WaitOptions<this> = {}, config?: Config): Promise<this> {
    const { poll, stateOf } = await waiting();
    await poll({
      ...this.#polling(options, config),
      goal: 'ready',
      look: async (settings) => {
        await this.refresh(settings);
        await options.onProgress?.(this);
        return stateOf(this._seen.status) !== 'pending';
      },
    });
    const failed = stateOf(this._seen.status) === 'failed';
    if (failed && options.throwOnFailure !== false)
      throw new ResourceFailedError(this._reference, this._seen);
    return this;
  }

  /**
   * Deletes, and waits until the resource is gone; one that is gone already counts.
   * @throws DeleteResourceError where it is there and no longer being deleted; TimeoutError with the last status
   */
  async deleteAndWaitUntilFinished(options: DeleteOptions<this> = {}, config?: Config): Promise<void> {
    const { poll } = await waiting();
    let asked = false;
    await poll({
      ...this.#polling(options, config),
      goal: 'gone',
      look: async (settings) => {
        try {
          if (!asked) await this.delete(settings);
          asked = true;
          await this.refresh(settings);
        } catch (error) {
          if (error instanceof ResourceNotExistError) return true;
          throw error;
        }
        await options.onProgress?.(this);
        if (this._seen.status === 'DELETING') return false;
        throw new DeleteResourceError(this._reference, this._seen);
      },
    });
  }

  /** @internal */
  protected get _caller(): Caller {
    return this.#caller;
  }

  /** @internal */
  protected abstract get _reference(): ResourceReference;

  /** @internal */
  protected abstract get _identifiers(): readonly string[];

  /** @internal What an answer says takes the place of what was there, but no answer takes the ids away. */
  protected _fill(data: object): this {
    const fields = this as Fields;
    for (const name of Object.keys(this)) {
      if (!this._identifiers.includes(name)) delete fields[name];
    }
    return this.updateSelf(data);
  }

  /** @internal An accepted delete may answer with no more than the id: what is known stays. */
  protected _markDeleting(data: object): this {
    return this.updateSelf({ status: 'DELETING', ...data });
  }

  /** @internal */
  protected get _seen(): SeenResource {
    return this as unknown as SeenResource;
  }

  #polling(options: DeleteOptions<this>, config: Config | undefined) {
    // The object's own signal counts too, and would be lost under the one of the wait.
    const signals = [options.signal, mergeConfigs(this.#caller.config, config).signal];
    return { options, config, signals, reference: this._reference, seen: () => this._seen };
  }
}
