import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { ServeLab, until, VPCS } from '../helpers/serve-lab.js';

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

/** A gateway in each VPC, and a connection between them. */
const DOCUMENT = {
  vpn_gateways: VPCS.map(({ cidr }, n) => ({
    name: `gateway-${n + 1}`,
    subnet: `subnet-${n + 1}`,
    mode: 'policy',
    connections: [
      {
        name: 'to-the-other',
        psk: 'correct-horse-battery',
        local: { cidrs: [cidr] },
        peer: { address: VPCS[1 - n]!.gatewayAddress, cidrs: [VPCS[1 - n]!.cidr] },
      },
    ],
  })),
};

t.test(
  'a server that has lost its store has its tunnels again from a backup',
  { skip: skipWithoutTun(), timeout: 240_000 },
  async (t) => {
    const lab = await ServeLab.open();
    t.teardown(() => lab.dispose());
    t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
    await lab.start();
    const [file, backup, key] = ['vpn.yaml', 'vpn.backup', 'backup.key'].map((name) =>
      join(lab.folder, name),
    );
    writeFileSync(file!, stringify(DOCUMENT), { mode: 0o600 });
    writeFileSync(key!, '5a'.repeat(32), { mode: 0o600 });
    const sealed = ['--sealing-key-file', key!];
    const succeeds = async (...argv: string[]): Promise<string> => {
      const { code, out, err } = await lab.culvert(...argv);
      t.equal(code, 0, `culvert ${argv[0]}: ${err}`);
      return out;
    };
    const ids = async () => {
      const all = JSON.parse(await succeeds('vpn-gateways', '--output', 'json')) as { crn: string }[];
      return all.map(({ crn }) => crn).sort();
    };
    const pings = () =>
      until('a ping through the tunnel', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 1);
    await succeeds('apply', '-f', file!, '--wait');
    await pings();
    const before = await ids();
    t.match(await succeeds('backup', backup!, ...sealed), /pre-shared keys sealed/);

    const running = lab.gateways();
    t.equal(running.length, 2);
    t.match(await succeeds('restore', backup!, ...sealed, '--replace'), /4 as they were/);
    t.same(lab.gateways(), running, 'where nothing differs no gateway is touched');

    t.equal(await lab.end('SIGTERM'), 0);
    for (const name of ['store.db', 'store.db-wal', 'store.db-shm']) {
      rmSync(join(lab.folder, name), { force: true });
    }
    await lab.start();
    t.same(await ids(), [], 'the store is a new one');
    t.match(await succeeds('restore', backup!, ...sealed), /^done: 4 objects made/);
    t.same(await ids(), before, 'the CRNs are the old ones');
    await pings();
    t.notMatch(lab.log, /correct-horse/);
  },
);
