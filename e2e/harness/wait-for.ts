const DEADLINE_MS = 20_000;
const PAUSE_MS = 10;

/** Looks again and again until there is something true to see, or fails with what was waited for. */
export async function waitFor<T>(
  what: string,
  look: () => T | Promise<T>,
  { withinMs = DEADLINE_MS }: { withinMs?: number } = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen as NonNullable<T>;
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms in vain for ${what}`);
    await pause();
  }
}

/** The counterpart for what must not happen: looks for a while and fails as soon as it does. */
export async function staysTrue(
  what: string,
  look: () => boolean | Promise<boolean>,
  forMs: number,
): Promise<void> {
  const end = performance.now() + forMs;
  do {
    if (!(await look())) throw new Error(`no longer true: ${what}`);
    await pause();
  } while (performance.now() < end);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
