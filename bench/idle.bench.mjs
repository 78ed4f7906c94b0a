// What the server costs when nothing happens: memory of both processes, and the processes of a runtime that sleeps.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { callUrl, deployHello, withServer } from './fixture.mjs';
import { bar, report } from './report.mjs';

/** Proportional set size of a process, in MiB: what it has for itself and its part of what it shares. */
function memoryMiB(pid) {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024;
}

/** The gateway is the server's only child that runs Node; the agents' wrappers are shells. */
function gatewayOf(pid) {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean),
  );
  return children.find((child) => /gateway/.test(readFileSync(`/proc/${child}/cmdline`, 'utf8')));
}

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
