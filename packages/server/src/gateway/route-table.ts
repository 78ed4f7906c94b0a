import type { RuntimeRoute, VersionRoute } from '../feed/messages.ts';

/** All routes, in memory. Each message replaces what was known of one runtime, a snapshot everything. */
export class RouteTable {
  #byId = new Map<string, RuntimeRoute>();
  #byName = new Map<string, RuntimeRoute>();
  #installed = false;

  /** False until the first snapshot: not knowing a runtime means nothing before that. */
  get installed(): boolean {
    return this.#installed;
  }

  /** @returns the ids of all runtimes known before or now */
  installSnapshot(runtimes: readonly RuntimeRoute[]): string[] {
    const touched = new Set(this.#byId.keys());
    this.#byId = new Map();
    this.#byName = new Map();
    for (const runtime of runtimes) {
      touched.add(runtime.runtimeId);
      this.#set(runtime);
    }
    this.#installed = true;
    return [...touched];
  }

  install(runtimeId: string, runtime: RuntimeRoute | null): void {
    const before = this.#byId.get(runtimeId);
    this.#byId.delete(runtimeId);
    // A name may already belong to the next runtime.
    if (before && this.#byName.get(before.name)?.runtimeId === runtimeId) this.#byName.delete(before.name);
    if (runtime) this.#set(runtime);
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  byName(name: string): RuntimeRoute | undefined {
    return this.#byName.get(name);
  }

  byId(runtimeId: string): RuntimeRoute | undefined {
    return this.#byId.get(runtimeId);
  }

  version(runtimeId: string, version: number): VersionRoute | undefined {
    return this.#byId.get(runtimeId)?.versions.find((route) => route.version === version);
  }

  #set(runtime: RuntimeRoute): void {
    this.#byId.set(runtime.runtimeId, runtime);
    this.#byName.set(runtime.name, runtime);
  }
}
