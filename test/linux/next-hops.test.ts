import { execFileSync } from 'node:child_process';
import t from 'tap';
import { setLinkUp } from '../../src/linux/links.js';
import { encodeRequest, NLM_F_CREATE, NLM_F_EXCL } from '../../src/linux/netlink.js';
import { encodeNextHop } from '../../src/linux/next-hop-codec.js';
import { addNextHop, listNextHops, removeNextHop, replaceNextHop } from '../../src/linux/next-hops.js';
import { addTableRoute, listTableRoutes, removeTableRoute } from '../../src/linux/table-routes.js';
import { openTun } from '../../src/linux/tun.js';
import { cidrOf } from '../../src/util/ip.js';
import { enterOwnNamespace } from '../helpers/own-namespace.js';
import { skipWithoutRoot, skipWithoutTun } from '../helpers/prerequisites.js';

const skip = skipWithoutRoot() || skipWithoutTun();
if (!skip) enterOwnNamespace();

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

t.test('the octets of iproute2 for the same', async (t) => {
  const octets = (hop: Parameters<typeof encodeNextHop>[0], index: number) => {
    const { fixed, attributes } = encodeNextHop(hop, index);
    return hex(encodeRequest(104, NLM_F_CREATE | NLM_F_EXCL, fixed, attributes));
  };
  // ip nexthop add id 1 dev DEVICE protocol 223, by strace; the flags without NLM_F_ACK, sequence number 1.
  t.equal(
    octets({ kind: 'device', id: 1, family: 4, device: 'd' }, 7),
    [
      ['28000000', '6800', '0106', '01000000', '00000000'], // struct nlmsghdr
      ['02', '00', 'df', '00', '00000000'], // struct nhmsg: AF_INET, protocol 223
      ['0800', '0100', '01000000'], // NHA_ID
      ['0800', '0500', '07000000'], // NHA_OIF
    ]
      .flat()
      .join(''),
  );
  t.equal(
    octets({ kind: 'group', id: 0x4000_0010, members: [1, 2] }, 0),
    [
      ['48000000', '6800', '0106', '01000000', '00000000'],
      ['00', '00', 'df', '00', '00000000'], // AF_UNSPEC
      ['0800', '0100', '10000040'],
      ['1400', '0200', '01000000', '00000000', '02000000', '00000000'], // NHA_GROUP: id, weight less one
      ['0600', '0300', '0100', '0000'], // NHA_GROUP_TYPE: resilient
      ['0c00', '0c80', '0600', '0100', '8000', '0000'], // NHA_RES_GROUP: 128 buckets
    ]
      .flat()
      .join(''),
  );
});

t.test('places, groups, and a device that goes', { skip }, async (t) => {
  const own = (id: number) => id >= 100 && id < 200;
  const [one, two] = [openTun('culvert1'), openTun('culvert2')];
  t.teardown(() => one.close());
  t.teardown(() => two.close());
  for (const name of ['culvert1', 'culvert2']) setLinkUp(name, 1400);
  const place = (id: number, device: string) => ({ kind: 'device', id, family: 4, device }) as const;
  addNextHop(place(101, 'culvert1'));
  addNextHop(place(102, 'culvert2'));
  addNextHop({ kind: 'group', id: 110, members: [101, 102] });
  execFileSync('ip', ['nexthop', 'add', 'id', '150', 'dev', 'culvert1']);
  const listed = () => listNextHops(own).sort((x, y) => x.id - y.id);
  t.same(
    listed(),
    [place(101, 'culvert1'), place(102, 'culvert2'), { kind: 'group', id: 110, members: [101, 102] }],
    'those of others are none of ours',
  );
  t.throws(() => addNextHop(place(101, 'culvert2')), { code: 'EEXIST', remedy: /ip nexthop show id 101/ });
  t.throws(() => addNextHop(place(103, 'culvert7')), { code: 'ENODEV' });
  const route = {
    table: 777,
    cidr: cidrOf('10.9.0.0/16'),
    metric: 48,
    way: { kind: 'group', id: 110 },
  } as const;
  addTableRoute(route);
  t.same(
    listTableRoutes((table) => table === 777),
    [{ route, protocol: 223 }],
  );

  const buckets = () =>
    execFileSync('ip', ['nexthop', 'bucket', 'list', 'id', '110'], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => /nhid (\d+)/.exec(line)![1]);
  const before = buckets();
  t.equal(before.filter((id) => id === '101').length, 64, 'half of the flows each');
  replaceNextHop(place(102, 'culvert1'));
  t.same(buckets(), before, 'each flow stays at its place, whatever is behind it');
  replaceNextHop(place(102, 'culvert2'));
  two.close();
  t.same(listed(), [place(101, 'culvert1'), { kind: 'group', id: 110, members: [101] }], 'gone with it');
  t.same(new Set(buckets()), new Set(['101']));

  removeTableRoute(route);
  removeNextHop(110);
  removeNextHop(101);
  t.same(listed(), []);
  t.throws(() => removeNextHop(101), { code: 'ENOENT' });
});
