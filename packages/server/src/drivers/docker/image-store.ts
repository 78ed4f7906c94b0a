import { Readable } from 'node:stream';
import { PhaseFailure } from '../../domain/failure.ts';
import {
  type ImageReference,
  isLocalImage,
  parseImageReference,
  pinned,
} from '../../domain/image-reference.ts';
import type { Log } from '../../observe/log.ts';
import type { FixedImage, ImageOptions, Images, RegistryConfig } from '../images.ts';
import { type Engine, EngineRefusal, jsonLines } from './engine.ts';
import { asFetchFault, imageFault } from './image-fault.ts';
import { describeProgress, PullProgress } from './pull-progress.ts';
import { type Blob, type RegistryImage, readImage } from './registry.ts';
import { TAR_END, tarHead, tarPadding } from './tar.ts';

export interface ImageStore extends Images {
  /**
   * Makes sure that an image is in the engine: fetched again if somebody has removed it.
   * @returns the name that containers are to be created from
   */
  ensure(image: FixedImage, registry: RegistryConfig | undefined, options: ImageOptions): Promise<string>;
}

const RECENT_MS = 60_000;

interface Inspected {
  Id: string;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
}

/**
 * Images in the engine. Each that was brought here bears a name of ours, `localhost/runstead/MARK:DIGEST`: by that it is
 * found and in the end removed, and nothing else in the engine is touched.
 * @param mark names the data folder: several servers may share an engine
 * @param timeoutMs for one image to be fetched
 */
export function createImageStore(options: {
  engine: Engine;
  mark: string;
  timeoutMs: number;
  log: Log;
}): ImageStore {
  const { engine, log } = options;
  const repository = `localhost/runstead/${options.mark}`;
  const ownName = (digest: string) => `${repository}:${digest}`;
  /** Digest → when it was brought here, in monotonic ms: somebody is about to write down that it is needed. */
  const recent = new Map<string, number>();
  /** By digest. */
  const fetching = new Map<string, Promise<string>>();

  return {
    async fix(name, registry, given) {
      const reference = parseImageReference(name);
      if (!reference) throw notAName(name);
      try {
        return isLocalImage(reference)
          ? await fixLocal(name)
          : await fetchImage(reference, name, registry, withTimeout(given));
      } catch (error) {
        given.signal.throwIfAborted();
        throw asFetchFault(error);
      }
    },

    async ensure(image, registry, given) {
      const own = ownName(image.digest);
      if (await inspect(own)) return own;
      // Several instances that start together have it fetched once; who waits for another's fetch that was given up
      // does it in its turn.
      const other = fetching.get(image.digest);
      if (other !== undefined) {
        await other.catch(() => {});
        given.signal.throwIfAborted();
        return this.ensure(image, registry, given);
      }
      const mine = fetchAgain(image, registry, given);
      fetching.set(image.digest, mine);
      try {
        return await mine;
      } finally {
        fetching.delete(image.digest);
      }
    },

    async collect(kept) {
      try {
        const filters = JSON.stringify({ reference: [repository] });
        const images = await engine.ask<Inspected[]>('GET', '/images/json', { query: { filters } });
        const digests = await kept();
        for (const tag of images.flatMap(({ RepoTags }) => RepoTags ?? [])) {
          const digest = tag.slice(repository.length + 1);
          if (!tag.startsWith(`${repository}:`) || digests.has(digest) || isRecent(digest)) continue;
          // One that a container still uses stays, for the next time.
          await engine.ask('DELETE', `/images/${tag}`).catch((error: unknown) => {
            if (!(error instanceof EngineRefusal)) throw error;
          });
        }
      } catch (error) {
        log.debug({ err: error }, 'images that nobody needs could not be removed');
      }
    },
  };

  async function fetchAgain(
    image: FixedImage,
    registry: RegistryConfig | undefined,
    given: ImageOptions,
  ): Promise<string> {
    const own = ownName(image.digest);
    const reference = parseImageReference(image.image);
    if (!reference) throw notAName(image.image);
    if (!isLocalImage(reference)) {
      await fetchImage(reference, image.image, registry, withTimeout(given));
      return own;
    }
    if (!(await inspect(image.digest))) {
      throw new PhaseFailure(
        'fetch',
        `the image ${image.image} of this version (${image.digest.slice(0, 12)}) is no longer in the engine`,
      );
    }
    await keep(image.digest, image.digest);
    return own;
  }

  function isRecent(digest: string): boolean {
    for (const [known, at] of recent) if (performance.now() - at > RECENT_MS) recent.delete(known);
    return recent.has(digest);
  }

  function withTimeout(given: ImageOptions): ImageOptions {
    return { ...given, signal: AbortSignal.any([given.signal, AbortSignal.timeout(options.timeoutMs)]) };
  }

  async function fixLocal(name: string): Promise<FixedImage> {
    const found = await inspect(name);
    if (!found) {
      throw new PhaseFailure(
        'fetch',
        `there is no image ${name} in the engine, and one of that name is in no registry: build it there ` +
          '(docker build -t …), or push it to a registry and name it with that',
      );
    }
    const digest = found.Id.replace(/^sha256:/, '');
    await keep(found.Id, digest);
    return { digest, image: name };
  }

  async function fetchImage(
    reference: ImageReference,
    name: string,
    registry: RegistryConfig | undefined,
    given: ImageOptions,
  ): Promise<FixedImage> {
    const { certConfig, authConfig } = registry ?? {};
    const secrets = [authConfig?.password ?? ''];
    try {
      const isOdd = certConfig?.insecure === true || Boolean(certConfig?.rootCaCertBase64);
      const digest = isOdd
        ? await bring(reference, registry!, given)
        : await pull(reference, authConfig, given);
      return { digest: digest.replace(/^sha256:/, ''), image: pinned(reference, digest) };
    } catch (error) {
      if (given.signal.reason instanceof DOMException && given.signal.reason.name === 'TimeoutError')
        throw imageFault(name, `timed out after ${options.timeoutMs / 1000} s`);
      given.signal.throwIfAborted();
      if (error instanceof PhaseFailure || asFetchFault(error) !== error) throw error;
      throw imageFault(name, (error as Error).message, secrets);
    }
  }

  /** By the engine, which fetches only layers that it has not. @returns the digest: `sha256:…` */
  async function pull(
    reference: ImageReference,
    auth: RegistryConfig['authConfig'],
    { signal, onProgress }: ImageOptions,
  ): Promise<string> {
    const wanted = reference.digest ?? reference.tag ?? 'latest';
    const full = `${reference.name}${reference.digest === undefined ? ':' : '@'}${wanted}`;
    const before = await inspect(full);
    const answer = await engine.open('POST', '/images/create', {
      query: { fromImage: reference.name, tag: wanted },
      headers: auth ? { 'x-registry-auth': registryAuth(reference, auth) } : {},
      signal,
      // Between two words about layers, the engine may be unpacking a large one.
      silenceMs: options.timeoutMs,
    });
    const progress = new PullProgress();
    for await (const event of jsonLines(answer)) {
      const error = event.error ?? (event.errorDetail as { message?: string } | undefined)?.message;
      if (error !== undefined) throw new Error(String(error));
      progress.hear(event);
      const text = progress.describe();
      if (text !== undefined) onProgress(text);
    }
    const after = await inspect(full);
    const digest = reference.digest ?? (after && digestOf(after, reference));
    if (!after || digest === undefined) throw new Error('the engine does not say what it has fetched');
    await keep(after.Id, digest.replace(/^sha256:/, ''));
    // The tag it came under was not there before: it is ours to take away.
    if (!before) await engine.ask('DELETE', `/images/${full}`).catch(() => {});
    return digest;
  }

  /** By ourselves, for a registry that the engine does not trust, and straight into the engine. */
  async function bring(
    reference: ImageReference,
    registry: RegistryConfig,
    { signal, onProgress }: ImageOptions,
  ): Promise<string> {
    const host = reference.registry;
    if (host === undefined) {
      throw new PhaseFailure(
        'fetch',
        `containerConfiguration.image must begin with its registry where registryConfig.certConfig is given; got "${reference.name}"`,
      );
    }
    const { architecture } = await engine.facts();
    const image = await readImage({ ...reference, registry: host }, registry, architecture, signal);
    const digest = image.digest.replace(/^sha256:/, '');
    if (await inspect(ownName(digest))) return image.digest;
    recent.set(digest, performance.now());
    let fault: unknown;
    async function* watched() {
      try {
        yield* archiveOf(image, ownName(digest), onProgress);
      } catch (error) {
        fault = error;
        throw error;
      }
    }
    try {
      const answer = await engine.open('POST', '/images/load', {
        body: Readable.from(watched(), { objectMode: false }),
        signal,
        silenceMs: options.timeoutMs,
      });
      for await (const { error } of jsonLines(answer))
        if (error !== undefined) throw new Error(String(error));
    } catch (error) {
      // What the engine says of an archive that breaks off says nothing.
      throw fault ?? error;
    }
    if (!(await inspect(ownName(digest)))) throw new Error('the engine did not keep what it was given');
    return image.digest;
  }

  async function inspect(name: string): Promise<Inspected | undefined> {
    try {
      return await engine.ask<Inspected>('GET', `/images/${name}/json`);
    } catch (error) {
      if (error instanceof EngineRefusal && error.status === 404) return undefined;
      throw error;
    }
  }

  async function keep(id: string, digest: string): Promise<void> {
    recent.set(digest, performance.now());
    await engine.ask('POST', `/images/${id.replace(/^sha256:/, '')}/tag`, {
      query: { repo: repository, tag: digest },
    });
  }
}

function notAName(text: string): PhaseFailure {
  return new PhaseFailure(
    'fetch',
    `containerConfiguration.image must be the name of an image, such as registry.example/team/agent:v1; got ${JSON.stringify(text.slice(0, 200))}`,
  );
}

function registryAuth(
  { registry = '' }: ImageReference,
  { userName = '', password = '' }: NonNullable<RegistryConfig['authConfig']>,
): string {
  const auth = { username: userName, password, serveraddress: registry };
  // With padding: the engines' reader insists on it.
  return Buffer.from(JSON.stringify(auth)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

function digestOf({ RepoDigests }: Inspected, { name, path }: ImageReference): string | undefined {
  const all = (RepoDigests ?? []).map((it) => it.split('@') as [string, string]);
  const own =
    all.find(([it]) => it === name) ?? all.find(([it]) => it.endsWith(`/${path}`) || it.endsWith(`/${name}`));
  return own?.[1];
}

/** An image as `docker save` writes it. */
async function* archiveOf(
  image: RegistryImage,
  name: string,
  onProgress: (text: string) => void,
): AsyncGenerator<Buffer> {
  const nameOf = ({ digest }: Blob, ending: string) => `${digest.slice('sha256:'.length)}${ending}`;
  const layers = image.layers.map((it) => nameOf(it, '.tar'));
  const config = nameOf(image.config, '.json');
  const manifest = Buffer.from(JSON.stringify([{ Config: config, RepoTags: [name], Layers: layers }]));
  yield tarHead('manifest.json', manifest.length);
  yield manifest;
  yield tarPadding(manifest.length);
  // An empty layer may come twice in a list, and once is enough.
  const files = new Map<string, Blob>([[config, image.config]]);
  for (const [i, layer] of image.layers.entries()) files.set(layers[i]!, layer);
  const total = [...files.values()].reduce((sum, { size }) => sum + size, 0);
  let seen = 0;
  let done = 0;
  for (const [file, blob] of files) {
    yield tarHead(file, blob.size);
    for await (const piece of await image.open(blob)) {
      seen += piece.length;
      onProgress(describeProgress(done, files.size - 1, seen, total));
      yield piece;
    }
    if (blob !== image.config) done++;
    yield tarPadding(blob.size);
  }
  yield TAR_END;
}
