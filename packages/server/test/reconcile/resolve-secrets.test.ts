import { expect, it } from 'vitest';
import { createSecretResolver } from '../../src/reconcile/resolve-secrets.ts';
import type { Store } from '../../src/store/store.ts';

const storeWith = (secretValues: Store['secretValues']) =>
  ({
    getRuntime: async () => ({ workspaceId: 'w1' }),
    getWorkspace: async () => ({ name: 'team' }),
    secretValues,
  }) as unknown as Store;

it('variables without references ask nobody', async () => {
  const resolve = createSecretResolver(storeWith(() => Promise.reject(new Error('asked'))));
  expect(await resolve('r1', { A: 'b' })).toEqual({ variables: { A: 'b' }, secretVariables: [] });
});

it('secrets that cannot be opened fail the start by their names, and say how to mend it', async () => {
  const resolve = createSecretResolver(
    storeWith(() => Promise.reject(new Error('a secret of the database cannot be opened'))),
  );
  await expect(
    resolve('r1', { A: 'secret://one', B: 'secret://one', C: 'secret://two' }),
  ).rejects.toMatchObject({
    name: 'PhaseFailure',
    phase: 'start',
    message:
      'the secrets that its variables refer to (one, two) cannot be read: a secret of the database cannot be opened; set them again with "runstead secrets set"',
  });
});

it('what is missing is told for every variable, and what to do once for every secret', async () => {
  const resolve = createSecretResolver(storeWith(async () => new Map([['there', 'value']])));
  const variables = { A: 'secret://one', B: 'secret://one', C: 'secret://two', D: 'secret://there' };
  await expect(resolve('r1', variables)).rejects.toThrow(
    /A refers to the secret 'one', .*B refers to the secret 'one', .*C refers to the secret 'two', which workspace 'team' does not have; set them with "runstead secrets set one --workspace team" and "runstead secrets set two --workspace team", and/,
  );
});

it('a version from before references had a form fails by its variable, without its value', async () => {
  const resolve = createSecretResolver(storeWith(async () => new Map()));
  await expect(resolve('r1', { A: 'secret://planted/x' })).rejects.toThrow(
    /^environmentVariables\.A must be secret:/,
  );
  await expect(resolve('r1', { A: 'secret://planted/x' })).rejects.not.toThrow(/planted/);
});
