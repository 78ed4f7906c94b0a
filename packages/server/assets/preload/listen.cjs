'use strict';
// Loaded into every Node process of an agent by NODE_OPTIONS. A listen on the port the agent was configured with goes
// to the port this instance was given, and a listen on all addresses to loopback alone. Nothing else changes.
//
// CommonJS and --require, not --import: that works from Node 18.0 on, and costs an agent that uses node:http nothing
// measurable, where --import made a CommonJS agent load the ESM loader too (8 ms).
const net = require('node:net');

const LOOPBACK = '127.0.0.1';
const [wanted, given] = (process.env.RUNSTEAD_PORT_MAP || '').split(':').map(Number);

// '', 0.0.0.0, 0, 0x0.0, ::, 0:0::0, ::ffff:0.0.0.0 …: everything that ends up as the unspecified address.
const UNSPECIFIED = /^((0x)?0+(\.(0x)?0+){0,3}|[0:]*:[0:]*(ffff:)?[0.:]*)?$/i;

function isPort(value) {
  return typeof value === 'number' || (typeof value === 'string' && Number(value) >= 0);
}

function portFor(port) {
  return given && Number(port) === wanted ? given : port;
}

function hostFor(host, ipv6Only) {
  if (host !== undefined && host !== null && !(typeof host === 'string' && UNSPECIFIED.test(host)))
    return host;
  return ipv6Only ? '::1' : LOOPBACK;
}

// The forms of listen: (port, host?, backlog?, callback?), (options, callback?), (path, …), (handle, …), ().
function narrow(args) {
  const first = args[0];
  const callback = typeof args[args.length - 1] === 'function' ? [args[args.length - 1]] : [];
  if (first === undefined || first === null || typeof first === 'function' || isPort(first)) {
    const options = { port: typeof first === 'function' ? 0 : portFor(first ?? 0) };
    options.host = hostFor(typeof args[1] === 'string' ? args[1] : undefined);
    const backlog = args
      .slice(1, 3)
      .map(Number)
      .find((number) => number > 0);
    if (backlog !== undefined) options.backlog = backlog;
    return [options, ...callback];
  }
  if (typeof first !== 'object' || !('port' in first) || first.handle || first._handle || first.fd >= 0)
    return args;
  const { port, path } = first;
  if (!isPort(port ?? 0) || ((port === undefined || port === null) && path)) return args;
  const options = Object.assign(Object.create(Object.getPrototypeOf(first)), first);
  options.port = portFor(port ?? 0);
  options.host = hostFor(first.host, first.ipv6Only);
  return [options, ...args.slice(1)];
}

const original = net.Server.prototype.listen;
Object.defineProperty(net.Server.prototype, 'listen', {
  ...Object.getOwnPropertyDescriptor(net.Server.prototype, 'listen'),
  value: function listen(...args) {
    return Reflect.apply(original, this, narrow(args));
  },
});
