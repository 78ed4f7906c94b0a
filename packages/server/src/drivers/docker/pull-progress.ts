/** How far a pull has come, put together from what the engine says of each layer. */
export class PullProgress {
  readonly #layers = new Map<string, { done: boolean; current: number; total: number }>();

  /** @param event one value of the series that an engine answers a pull with */
  hear(event: Record<string, unknown>): void {
    const status = String(event.status ?? event.stream ?? '');
    // Podman names no layer in a field of its own.
    const named = /^Copying (?:blob|config) (?:sha256:)?([0-9a-f]{12})/.exec(status)?.[1];
    const id = typeof event.id === 'string' && /^[0-9a-f]{12}$/.test(event.id) ? event.id : named;
    if (id === undefined) return;
    const layer = this.#layers.get(id) ?? { done: false, current: 0, total: 0 };
    const { current, total } = (event.progressDetail ?? {}) as { current?: number; total?: number };
    if (status === 'Downloading' && total !== undefined)
      Object.assign(layer, { current: current ?? 0, total });
    // Its bytes are here; unpacking is told in bytes of another kind.
    if (/^(Download complete|Pull complete|Already exists|Extracting|Verifying Checksum)/.test(status)) {
      layer.current = layer.total;
      layer.done ||= /^(Pull complete|Already exists)/.test(status);
    }
    this.#layers.set(id, layer);
  }

  /** `2 of 5 layers, 31 of 80 MiB`; undefined while nothing is known. */
  describe(): string | undefined {
    if (this.#layers.size === 0) return undefined;
    const layers = [...this.#layers.values()];
    const done = layers.filter((it) => it.done).length;
    const current = layers.reduce((sum, it) => sum + it.current, 0);
    const total = layers.reduce((sum, it) => sum + it.total, 0);
    return describeProgress(done, layers.length, current, total);
  }
}

/** @param current bytes that are here, of `total`; 0 of 0 where nobody says */
export function describeProgress(done: number, layers: number, current: number, total: number): string {
  const count = `${done > 0 ? `${done} of ` : ''}${layers} layer${layers === 1 ? '' : 's'}`;
  return total > 0 ? `${count}, ${mebibytes(current)} of ${mebibytes(total)} MiB` : count;
}

function mebibytes(bytes: number): number {
  const value = bytes / 1024 / 1024;
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
}
