import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createSiteNetwork, SITE_A, SITE_B } from '#culvert/cli/pair/site-network.js';
import type { NetworkLab } from '#culvert/linux/namespaces.js';
import type { Contender } from './contender.js';
import type { PacketGatewaySetup } from './packet-gateway.js';

/** Two processes with Culvert's packet path and nothing else, under fixed keys. */
export async function startPacketPair(
  options: Pick<PacketGatewaySetup, 'children' | 'transform'>,
): Promise<Contender> {
  const lab = await createSiteNetwork();
  try {
    const script = fileURLToPath(new URL('./packet-gateway.js', import.meta.url));
    const processes = [SITE_A, SITE_B].map((site, end) => {
      const setup: PacketGatewaySetup = {
        ...options,
        end: end as 0 | 1,
        addresses: [SITE_A.address, SITE_B.address],
        networks: [SITE_A.cidr, SITE_B.cidr],
      };
      return lab.spawn(site.gateway, [process.execPath, script, JSON.stringify(setup)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
    });
    const lines = processes.map((child) => createInterface({ input: child.stdout! })[Symbol.asyncIterator]());
    for (const line of lines) {
      if ((await line.next()).value !== 'ready') throw new Error('a packet gateway did not start');
    }
    await firstAnswer(lab);
    return {
      lab,
      pids: processes.map((child) => child.pid!),
      command: (line) => {
        for (const child of processes) child.stdin!.write(`${line}\n`);
      },
      async drops() {
        for (const child of processes) child.stdin!.write('drops\n');
        let sum = 0;
        for (const line of lines) sum += Number((await line.next()).value);
        return sum;
      },
      async stop() {
        const ended = processes.map((child) => (child.exitCode === null ? once(child, 'exit') : undefined));
        for (const child of processes) child.stdin!.end();
        await Promise.all(ended);
        await lab.dispose();
      },
    };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/** Orders are carried out in turn: when the SA of the traffic, installed last, carries a ping, all are there. */
async function firstAnswer(lab: NetworkLab): Promise<void> {
  const argv = ['ping', '-q', '-c', '1', '-i', '0.1', '-w', '60', SITE_B.hostAddress];
  const { code } = await lab.run(SITE_A.host, argv);
  if (code !== 0) throw new Error('no packet passed between the two packet gateways');
}

/** The gateways' kernels forward in the clear: what the network itself carries. */
export async function startForwarding(): Promise<Contender> {
  const lab = await createSiteNetwork();
  try {
    for (const [site, peer] of [
      [SITE_A, SITE_B],
      [SITE_B, SITE_A],
    ] as const) {
      await lab.check(site.gateway, ['ip', 'route', 'add', peer.cidr, 'via', peer.address]);
    }
    return { lab, pids: [], stop: () => lab.dispose() };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}
