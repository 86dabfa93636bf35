import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DistributionLab, LOST } from '../helpers/distribution-lab.js';
import { MEMBER_ADDRESSES, PSK, until, VPCS } from '../helpers/serve-lab.js';
import { StrongSwan, type SwanConnection, skipWithoutStrongswan } from '../helpers/strongswan.js';
import { UdpFlows } from '../helpers/udp-flows.js';

const skip = skipWithoutStrongswan();
const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];
/** Of the way back: what the peer sends to a member that is gone, until it hears of that. */
const LOST_BACK = 1000;

const toMember = (address: string, n: number): SwanConnection => ({
  name: `member-${n + 1}`,
  proposals: 'aes256-sha256-modp2048',
  espProposals: 'aes256-sha256',
  local: { address: vpc2.gatewayAddress, id: vpc2.gatewayAddress, ts: vpc2.cidr },
  remote: { address, id: address, ts: vpc1.cidr },
  psk: PSK,
  extra: 'dpd_delay = 2s',
});

t.test('strongSwan is the peer of both members', { skip, timeout: 300_000 }, async (t) => {
  const it = await DistributionLab.open(t);
  const { network, folder } = it.lab;
  await network.check(vpc2.node, ['ip', 'address', 'add', `${vpc2.gatewayAddress}/24`, 'dev', 'wan']);
  mkdirSync(join(folder, 'swan'));
  const swan = await StrongSwan.start(network, vpc2.node, join(folder, 'swan'));
  t.teardown(() => swan.stop());
  t.teardown(() => t.passing() || t.comment(swan.log().slice(-8000)));
  await swan.load(...MEMBER_ADDRESSES[0].map(toMember));

  const gateway = await it.gateway(0);
  const connection = await it.connect(gateway, vpc2.gatewayAddress, { distribute_traffic: true });
  await it.route(0, 'by-2', connection, 2);
  await it.carriedBy('by-2', 1, 2);
  const ports = await it.startFlows('by-2');
  const all = ports.flat();
  const before = await it.membersOf('by-2', all);
  const from = { node: vpc2.host, address: vpc2.hostAddress };
  const back = await UdpFlows.start(network, from, { node: vpc1.host, address: vpc1.hostAddress }, [42_000]);
  t.teardown(() => back.stop());
  const pids = () => [1, 2].map((n) => it.pidOf(gateway, n));
  const member = (n: 1 | 2) => ({
    ...{ moving: ports[n - 1]!, staying: ports[2 - n]!, most: LOST.host },
    moved: () => it.carriedBy('by-2', 3 - n),
    back: () => it.carriedBy('by-2', 1, 2),
  });

  /** Packets that strongSwan has sent to each member. */
  const sent = async () => {
    const sas = await swan.sas();
    return [1, 2].map((n) =>
      sas
        .filter(({ name }) => name === `member-${n}`)
        .flatMap(({ children }) => children)
        .reduce((sum, { packetsOut }) => sum + packetsOut, 0),
    ) as [number, number];
  };
  const earlier = await sent();
  const later = await until('the peer answers by one of them', async () => {
    const now = await sent();
    return now.some((count, n) => count > earlier[n]! + 10) && now;
  });
  const answering = later[0] > earlier[0] + 10 ? 1 : 2;
  for (const n of [answering, answering === 1 ? 2 : 1] as const) {
    const kill = () => process.kill(it.pidOf(gateway, n), 'SIGKILL');
    await back.look();
    await it.breaks({ ...member(n), what: `member ${n} killed`, act: kill });
    const before = (await back.look())[42_000]?.missing ?? 0;
    const after = await until('the way back goes on', async () => {
      const seen = (await back.look())[42_000];
      return seen !== undefined && seen.received > 0 && seen;
    });
    const lost = before + after.missing;
    t.comment(`member ${n} killed: ${lost} of the way back lost`);
    t.ok(lost <= LOST_BACK, 'the peer takes the other way, or this one again');
  }
  const [frozen] = pids() as [number, number];
  await it.breaks({
    ...{ ...member(1), what: 'member 1 frozen' },
    act: () => process.kill(frozen, 'SIGSTOP'),
    mend: () => process.kill(frozen, 'SIGCONT'),
  });
  await it.breaks({
    ...{ ...member(2), what: 'path of member 2 cut', most: LOST.path },
    act: () => it.cutPath(2),
    mend: () => it.mendPath(),
  });
  t.same(await it.membersOf('by-2', all), before, 'each flow is where it was');

  // Taken down and up by the API; and then one tunnel at a time.
  const path = `/vpn_gateways/${gateway}/connections/${connection.id}`;
  await it.patch(path, { admin_state_up: false });
  await it.carriedBy('by-2');
  await it.patch(path, { admin_state_up: true, distribute_traffic: false });
  await it.carriedBy('by-2', 1);
  await it.lost(all);
  await it.breaks({
    ...{ what: 'one at a time, killed', moving: all, most: LOST.host },
    act: () => process.kill(it.pidOf(gateway, 1), 'SIGKILL'),
    moved: () => it.carriedBy('by-2', 2),
    back: () => it.carriedBy('by-2', 1),
  });
});
