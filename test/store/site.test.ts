import t from 'tap';
import { freeAddresses, readSite, type Subnet } from '../../src/store/site.js';

const SMALL = {
  vpcs: [{ name: 'one' }],
  subnets: [{ name: 'net', vpc: 'one', cidr: '10.1.0.0/24', public_addresses: ['192.0.2.1'] }],
};

t.test('defaults, and ids that stay', async (t) => {
  const site = readSite(SMALL);
  const again = readSite(SMALL);
  if (!site.ok || !again.ok) return t.fail('it is right');
  t.same(site.value, again.value);
  t.match(site.value, {
    region: 'local',
    profile: 'compatible',
    encapsulation: 'always',
    resourceGroups: [{ name: 'default' }],
    subnets: [{ zone: 'local-1', vpc: site.value.vpcs[0]?.id }],
    quotas: { gateways_per_region: 9, connections_per_gateway: 10 },
  });
  t.match(site.value.vpcs[0]?.id, /^r006-[-0-9a-f]{36}$/);
  t.match(site.value.subnets[0]?.id, /^0717-[-0-9a-f]{36}$/);
  return undefined;
});

t.test('what a site cannot be', async (t) => {
  const refused = (change: object, path: string): void => {
    const site = readSite({ ...SMALL, ...change });
    t.notOk(site.ok);
    if (!site.ok) t.equal(site.error[0]?.path.join('.'), path, JSON.stringify(site.error));
  };
  const subnet = SMALL.subnets[0]!;
  const net = (change: object) => ({ subnets: [{ ...subnet, ...change }] });
  refused({ vpcs: [] }, 'vpcs');
  refused({ color: 'red' }, 'color');
  refused(net({ vpc: 'won' }), 'subnets.0.vpc');
  refused(net({ cidr: '10.1.0.1/24' }), 'subnets.0.cidr');
  refused(net({ cidr: '10.1.0.0/29' }), 'subnets.0.cidr');
  refused(net({ public_addresses: ['0.0.0.0'] }), 'subnets.0.public_addresses.0');
  refused(net({ public_addresses: ['192.0.2.1', '192.0.2.1'] }), 'subnets.0.public_addresses.1');
  refused({ subnets: [subnet, { ...subnet, public_addresses: [] }] }, 'subnets.1');
  refused({ endpoint: 'http://host/v1' }, 'endpoint');
  refused({ quotas: { gateways_per_zone: -1 } }, 'quotas.gateways_per_zone');
});

t.test('addresses of a subnet', async (t) => {
  const subnet = (cidr: string, publicAddresses: string[] = []): Subnet => ({
    id: 's',
    name: 's',
    vpc: 'v',
    zone: 'z',
    cidr,
    publicAddresses,
  });
  t.same(freeAddresses(subnet('10.1.0.0/24'), new Set(), 2), ['10.1.0.4', '10.1.0.5']);
  t.same(freeAddresses(subnet('10.1.0.0/24', ['10.1.0.4']), new Set(['10.1.0.5']), 2), [
    '10.1.0.6',
    '10.1.0.7',
  ]);
  t.equal(
    freeAddresses(subnet('10.1.0.0/28'), new Set(), 100).length,
    11,
    'not the first four, not the last',
  );
  t.same(freeAddresses(subnet('10.1.0.0/23'), new Set(), 300).at(-1), '10.1.1.47', 'octets carry');
  t.same(freeAddresses(subnet('2001:db8::/64'), new Set(), 1), ['2001:db8::4']);
});
