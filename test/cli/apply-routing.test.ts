import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { readCurrent } from '../../src/cli/declarative/current.js';
import { type Document, readDocument } from '../../src/cli/declarative/document.js';
import { check, execute } from '../../src/cli/declarative/execute.js';
import { exportText } from '../../src/cli/declarative/export.js';
import { makePlan, type Plan } from '../../src/cli/declarative/plan.js';
import { ApiClient } from '../../src/cli/vpn/api-client.js';
import { ApiLab, PSK, SITE } from '../helpers/api-lab.js';

const THIRD = {
  ...SITE.subnets[0]!,
  id: '0717-sub3',
  name: 'subnet-3',
  cidr: '192.168.101.0/24',
  public_addresses: [],
};

async function open(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-apply-routing-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const lab = await ApiLab.open(t, { site: { subnets: [...SITE.subnets, THIRD] } });
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const api = new ApiClient({ endpoint: `unix:${socketPath}`, seconds: 60 });
  const apply = async (document: Document, prune = true): Promise<Plan> => {
    const current = await readCurrent(api);
    const plan = makePlan(document, current, prune);
    await check(plan, document, api);
    await execute(plan, document, current, api);
    return plan;
  };
  return { lab, api, apply };
}

function read(text: string): Document {
  const document = readDocument(text, () => '');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  return document.value;
}

/** Everything of a connection but its peer is as it is anywhere. */
const connection = (name: string) => ({
  name,
  psk: PSK,
  peer: { address: name === 'one' ? '198.51.100.1' : '198.51.100.2' },
});

const HOPS = ['192.168.100.9', '192.168.100.10', 'drop', 'delegate', 'one', 'two'] as const;

const routes = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    destination: fc.constantFrom('10.1.0.0/16', '10.2.0.0/16', '10.2.0.0/24', '0.0.0.0/0'),
    hop: fc.constantFrom(...HOPS),
    priority: fc.nat(4),
    advertise: fc.boolean(),
  }),
  { selector: ({ destination }) => destination, maxLength: 3 },
);

const tables = fc.record({
  /** Undefined: the file does not speak of the default table. */
  usual: fc.option(fc.record({ named: fc.boolean(), open: fc.boolean(), routes }), { nil: undefined }),
  own: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom('t1', 't2', 't3'),
      ingress: fc.boolean(),
      makers: fc.subarray(['vpn_gateway', 'vpn_server']),
      routes,
    }),
    { selector: ({ name }) => name, maxLength: 3 },
  ),
  /** Which of the tables each subnet has; beyond them: the default table. */
  holders: fc.tuple(fc.nat(3), fc.nat(3)),
  mode: fc.constantFrom('route', 'route', 'route', 'policy', 'none'),
  name: fc.constantFrom('left', 'left', 'right'),
  connections: fc.subarray(['one', 'two']),
});

/** The text of a file that is legal. */
const documents = tables.map(({ usual, own, holders, mode, name, connections }) => {
  const hopOf = (hop: (typeof HOPS)[number]): object => {
    if (hop === 'drop' || hop === 'delegate') return { action: hop };
    if (hop !== 'one' && hop !== 'two') return { next_hop: { address: hop } };
    const isThere = mode === 'route' && connections.includes(hop);
    return isThere ? { next_hop: { gateway: name, connection: hop } } : { action: 'drop' };
  };
  const listed = (all: (typeof own)[number]['routes']) =>
    all
      .filter((one, index) => all.findIndex((other) => other.name === one.name) === index)
      .map(({ hop, ...rest }) => ({ ...rest, zone: 'us-south-1', ...hopOf(hop) }));
  const names = ['subnet-1', 'subnet-3'];
  const subnetsOf = (index: number): string[] => names.filter((_, n) => holders[n] === index);
  let taken = false;
  const ownTables = own.map(({ name, ingress, makers, routes }, index) => {
    const subnets = subnetsOf(index);
    const isIngress = ingress && subnets.length === 0 && !taken;
    taken ||= isIngress;
    return {
      vpc: 'vpc-one',
      name,
      accept_routes_from: makers,
      ...(isIngress ? { route_vpc_zone_ingress: true } : {}),
      ...(subnets.length === 0 ? {} : { subnets }),
      routes: listed(routes),
    };
  });
  const local = mode === 'policy' ? { local: { cidrs: ['192.168.100.0/24'] } } : {};
  const peers = (one: string) =>
    mode === 'policy' ? { cidrs: [one === 'one' ? '10.71.0.0/16' : '10.72.0.0/16'] } : {};
  return stringify(
    {
      vpn_gateways:
        mode === 'none'
          ? []
          : [
              {
                name,
                subnet: 'subnet-1',
                mode,
                connections: connections.map((one) => {
                  const whole = connection(one);
                  return { ...whole, ...local, peer: { ...whole.peer, ...peers(one) } };
                }),
              },
            ],
      routing_tables: [
        ...(usual === undefined
          ? []
          : [
              {
                vpc: 'vpc-one',
                default: true,
                ...(usual.named ? { name: 'usual' } : {}),
                ...(usual.open ? { accept_routes_from: ['vpn_server'] } : {}),
                routes: listed(usual.routes),
              },
            ]),
        ...ownTables,
      ],
    },
    { aliasDuplicateObjects: false },
  );
});

t.test('from any legal routing to any other', { timeout: 300_000 }, async (t) => {
  const { api, apply } = await open(t);
  const again = async (text: string, what: string): Promise<void> => {
    const { changes } = makePlan(read(text), await readCurrent(api), true);
    if (changes.length > 0) throw new Error(`${what}: ${JSON.stringify(changes)}`);
  };
  await t.resolves(
    fc.assert(
      fc.asyncProperty(documents, async (text) => {
        await apply(read(text));
        await again(text, 'applied again');
        const exported = exportText(await readCurrent(api), true);
        await again(exported, 'the export applied');
      }),
      { numRuns: 60 },
    ),
  );
});

t.test('what the file does not name stays without --prune', async (t) => {
  const { lab, api, apply } = await open(t);
  const file = (routing_tables: object[]): Document => read(stringify({ routing_tables }));
  const one = { name: 'one', zone: 'us-south-1', destination: '10.1.0.0/16', action: 'drop' };
  const two = { ...one, name: 'two', destination: '10.2.0.0/16' };
  const table = { vpc: 'vpc-one', name: 'mine', subnets: ['subnet-3'], routes: [one] };
  await apply(file([table]));
  const held = await apply(file([{ ...table, routes: [two] }]), false);
  t.same(held.kept, ['route one of routing table mine of vpc-one']);
  t.match((await apply(file([]), false)).kept, ['routing table mine of vpc-one']);
  t.equal((await lab.get('/subnets/0717-sub3/routing_table')).body.name, 'mine');
  const { changes } = makePlan(file([]), await readCurrent(api), true);
  t.match(changes, [
    { verb: 'update', object: 'subnet subnet-3' },
    { verb: 'delete', object: 'routing table mine of vpc-one' },
  ]);
});

t.test('faults of a file are told with their place', async (t) => {
  const { api, apply } = await open(t);
  const issues = (text: string) => {
    const document = readDocument(text, () => '');
    return document.ok ? [] : document.error.map(({ path, message }) => `${path} ${message}`);
  };
  const table = (more: object) => stringify({ routing_tables: [{ vpc: 'vpc-one', ...more }] });
  t.match(issues(table({})), [/routing_tables\[0\]\.name is missing/]);
  t.match(issues(table({ default: true, subnets: ['subnet-1'] })), [/is not for the default table/]);
  const route = { name: 'a', zone: 'z', destination: '10.0.0.1/8' };
  t.match(issues(table({ name: 't', routes: [route, route] })), [
    /routes\[0\]\.destination/,
    /"a" stands in the file twice/,
    /routes\[1\]\.destination/,
  ]);
  const half = { ...route, destination: '10.0.0.0/8', next_hop: { gateway: 'g' } };
  t.match(issues(table({ name: 't', routes: [half] })), [/needs either "address", or/]);
  await t.rejects(apply(read(table({ name: 't', vpc: 'vpc-oen' }))), {
    message: 'file:2:10: there is no VPC "vpc-oen"; did you mean "vpc-one"?',
  });
  await t.rejects(
    apply(read(table({ name: 't', subnets: ['subnet-2'] }))),
    /no subnet in the VPC "subnet-2"/,
  );
  const lost = { ...half, next_hop: { gateway: 'g', connection: 'c' }, zone: 'us-south-1' };
  await t.rejects(apply(read(table({ name: 't', routes: [lost] }))), /connection "c" of gateway "g"/);
  t.same(
    (await readCurrent(api)).tables.map(({ wish }) => wish.isDefault),
    [true, true],
    'nothing was changed',
  );
});
