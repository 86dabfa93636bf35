import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { type ProgramOutcome, programOutcome, UNHOOKED } from '../helpers/program.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** A machine of its own as far as it matters: network, processes, and the folders where files are put. */
const MACHINE = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];

const skip =
  skipWithoutTun() ||
  (spawnSync('unshare', [...MACHINE, 'mount', '-t', 'tmpfs', 'tmpfs', '/run']).status !== 0
    ? 'namespaces and mounts are not allowed here'
    : false);

const BEFORE = `
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
ip link set lo up
set -e
`;
const BEHIND = `
echo BEHIND
node dist/main.js doctor
kill -TERM $!
wait $!
echo "the server ended with $?"
echo "left: $(ls -A /run/culvert/gateways; ip -n vpc-1 -brief link; ip -n vpc-1 -4 -brief address; ip -n vpc-1 route)"
sh fixtures/walkthrough/network.sh down
echo "namespaces: $(ip netns)"
`;

function run(script: string): Promise<ProgramOutcome> {
  return programOutcome(['env', ...UNHOOKED, 'unshare', ...MACHINE, 'sh', '-c', script], { cwd: root });
}

t.test(
  'the five commands of the README, as they are printed there',
  { skip, timeout: 300_000 },
  async (t) => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]!);
    const printed = blocks.find((block) => block.includes('network.sh up')) ?? '';
    t.equal(printed.trim().split('\n').length, 5);
    const { code, out, err } = await run(`${BEFORE}${printed}${BEHIND}`);
    t.equal(code, 0, err.slice(-3000));
    const [walk = '', behind = ''] = out.split('BEHIND\n');
    t.match(walk, /every connection is up/);
    t.match(walk, /^to-gateway-2 +up +up /m, 'the table says so');
    t.match(walk, /3 packets transmitted, 3 received, 0% packet loss/);
    for (const name of ['gateway-1', 'gateway-2'])
      t.match(
        behind,
        new RegExp(`^gateway ${name} at [\\s\\S]*?path mtu\\n[\\s\\S]*?^nothing is wrong`, 'm'),
        'a healthy host',
      );
    t.match(behind, /the server ended with 0\n/);
    t.notMatch(
      behind,
      /cv[a-p]|192\.0\.2\.1\/|10\.2\.0\.0/,
      'no device, address or route of the gateway is left',
    );
    t.match(behind, /namespaces: \n/);
  },
);
