import { expect, test } from 'vitest';
import { ConfigError } from '../config.ts';
import { planListeners } from './listen-plan.ts';

const config = { host: '127.0.0.1', port: 7700, tlsPort: undefined, insecureHttp: false };

test('without TLS there is one listener', () => {
  expect(planListeners(config)).toEqual({
    plain: { host: '127.0.0.1', port: 7700 },
    tls: undefined,
    beyondLoopback: false,
  });
});

test('with TLS there are two, on the same loopback host', () => {
  expect(planListeners({ ...config, host: '::1', tlsPort: 0 })).toEqual({
    plain: { host: '::1', port: 7700 },
    tls: { host: '::1', port: 0 },
    beyondLoopback: false,
  });
});

test('beyond loopback TLS listens there, and plain HTTP stays at home', () => {
  expect(planListeners({ ...config, host: '0.0.0.0', tlsPort: 7443 })).toEqual({
    plain: { host: '127.0.0.1', port: 7700 },
    tls: { host: '0.0.0.0', port: 7443 },
    beyondLoopback: true,
  });
});

test.each([undefined, 7443])('plain HTTP goes along when that is wanted, TLS port %s', (tlsPort) => {
  expect(planListeners({ ...config, host: '10.0.0.7', tlsPort, insecureHttp: true })).toMatchObject({
    plain: { host: '10.0.0.7', port: 7700 },
    beyondLoopback: true,
  });
});

test.each(['0.0.0.0', '::', '10.0.0.7', 'box.local'])(
  '%s with neither is refused, with what to do',
  (host) => {
    expect(() => planListeners({ ...config, host })).toThrow(ConfigError);
    expect(() => planListeners({ ...config, host })).toThrow(
      /--host must be a loopback address .*; got ".+"\. .*--tls-port 7443.*--insecure-http/,
    );
  },
);
