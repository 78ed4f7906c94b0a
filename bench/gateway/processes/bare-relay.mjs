// What Node's sockets cost by themselves: passes bytes on between each client and a connection of its own to the agent,
// unread. No proxy in Node can cost less.
import { connect, createServer } from 'node:net';

const agentPort = Number(process.argv[2]);
const buffer = Buffer.allocUnsafe(64 * 1024);

createServer({ noDelay: true }, (client) => {
  const agent = connect({
    port: agentPort,
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer,
      callback: (length, bytes) => {
        client.write(Buffer.from(bytes.subarray(0, length)));
        return true;
      },
    },
  });
  client.on('data', (bytes) => agent.write(bytes));
  for (const [socket, other] of [
    [client, agent],
    [agent, client],
  ]) {
    socket.on('error', () => {});
    socket.on('close', () => other.destroy());
  }
}).listen(0, '127.0.0.1', function listening() {
  process.send({ port: this.address().port });
});
