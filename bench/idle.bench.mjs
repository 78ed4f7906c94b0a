// What the server costs when nothing happens: memory of both processes, and the processes of a runtime that sleeps.
import { setTimeout as delay } from 'node:timers/promises';
import { callUrl, deployHello, withServer } from './fixture.mjs';
import { childrenOf, commandOf, memoryMiB } from './processes.mjs';
import { bar, report } from './report.mjs';

/** The agents' wrappers are children as well. */
const gatewayOf = (pid) => childrenOf(pid).find((child) => commandOf(child).includes('gateway'));

const bars = await withServer(
  async ({ client, server }) => {
    await delay(3000);
    const [control, gateway] = [memoryMiB(server.pid), memoryMiB(gatewayOf(server.pid))];
    await deployHello(client, 'sleeper');
    const instances = async () => {
      const response = await fetch(`${server.url}/runstead/v1/instances`, {
        headers: { authorization: `Bearer ${server.apiKey}` },
      });
      return (await response.json()).data.items;
    };
    const awake = (await instances()).length;
    for (let i = 0; i < 200 && (await instances()).length > 0; i++) await delay(50);
    const asleep = (await instances()).length;
    const answered = (await fetch(callUrl(server, 'sleeper'))).status;
    if (awake !== 1 || answered !== 200) throw new Error(`awake ${awake}, answered ${answered}`);
    return [
      bar('control process, idle', control, 'MiB (PSS)'),
      bar('gateway process, idle', gateway, 'MiB (PSS)'),
      bar('instances of a runtime that sleeps', asleep, 'processes', 0),
    ];
  },
  { RUNSTEAD_IDLE_STOP: '1s' },
);
report('idle', bars);
