import { describe, expect, it } from 'vitest';
import { referenceFaults, resolveReferences, secretReferences } from './secret-references.ts';

describe('a reference to a secret', () => {
  it('is a whole value: secret:// and a name', () => {
    const variables = {
      KEY: 'secret://openai',
      AGAIN: 'secret://openai',
      PLAIN: 'openai',
      WITHIN: 'see secret://openai',
      OTHER_CASE: 'SECRET://openai',
    };
    expect([...secretReferences(variables)]).toEqual([
      ['KEY', 'openai'],
      ['AGAIN', 'openai'],
    ]);
    expect(referenceFaults(variables)).toEqual([]);
  });

  it.each(['', 'a b', '-a', '1a', 'a/b', 'a.b', '../a', 'a#b', 'a\n', 'ä', 'a'.repeat(65)])(
    'is at fault with %j for a name, which is not shown',
    (name) => {
      const [fault, ...others] = referenceFaults({ KEY: `secret://${name}`, FINE: 'secret://fine' });
      expect(others).toEqual([]);
      expect(fault).toMatch(/^environmentVariables\.KEY must be secret:\/\/ and a name of 1 to 64 letters/);
      expect(fault).toMatch(/\(got a value that is not shown\)$/);
    },
  );

  it('becomes the value, once: what looks like a reference in it is part of the secret', () => {
    const secrets = new Map([
      ['a', 'secret://b'],
      ['b', 'never'],
    ]);
    expect(resolveReferences({ A: 'secret://a', PLAIN: 'x', C: 'secret://c' }, secrets)).toEqual({
      variables: { A: 'secret://b', PLAIN: 'x', C: 'secret://c' },
      secretVariables: ['A'],
      missing: [['C', 'c']],
    });
  });
});
