import type { ContainerConfiguration } from '@runstead/contract';
import { PhaseFailure } from '../domain/failure.ts';

export type RegistryConfig = NonNullable<ContainerConfiguration['registryConfig']>;

/** An image by its content: what it stands for does not change when its tag moves on. */
export interface FixedImage {
  /** Hex SHA-256 of its manifest, or of its configuration where it is in no registry. */
  digest: string;
  /** Where it is to be had: `registry.example/team/agent@sha256:…`, or `localhost/agent` for one in no registry. */
  image: string;
}

export interface ImageOptions {
  signal: AbortSignal;
  /** Hears how far it has come, in words: `2 of 5 layers, 31 of 80 MiB`. */
  onProgress: (text: string) => void;
}

/** The images that containers are started from, in whatever keeps them. */
export interface Images {
  /**
   * Finds out which image a name means now, and brings it here.
   * @throws PhaseFailure of phase `fetch`, in words for who named it; the signal's reason
   */
  fix(image: string, registry: RegistryConfig | undefined, options: ImageOptions): Promise<FixedImage>;

  /** Lets go of images that were brought here and that no digest of these names any more. Never throws. */
  collect(kept: () => Promise<ReadonlySet<string>>): Promise<void>;
}

/** Where nothing can run an image. */
export const noImages: Images = {
  async fix() {
    throw new PhaseFailure(
      'fetch',
      'this server has no container engine driver, so container images cannot be run; deploy the code as a package',
    );
  },
  async collect() {},
};
