import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { readDocument } from '../../src/cli/declarative/document.js';
import { makePlan } from '../../src/cli/declarative/plan.js';
import { readServeFile } from '../../src/daemon/serve/serve-file.js';

const folder = new URL('../../fixtures/walkthrough/', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8');

t.test('the files of the walk-through in the README fit each other', async (t) => {
  const site = readServeFile(read('site.yaml'), fileURLToPath(new URL('site.yaml', folder)));
  if (!site.ok) throw new Error(JSON.stringify(site.error));
  const document = readDocument(read('vpn.yaml'), () => '');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  const { subnets, vpcs } = site.value.site;
  const current = {
    ikePolicies: [],
    ipsecPolicies: [],
    gateways: [],
    leaving: [],
    tables: [],
    vpcs: [],
    subnets: subnets.map((one) => ({ ...one, vpc: vpcs.find(({ id }) => id === one.vpc) })),
  };
  const { steps } = makePlan(document.value, current, true);
  t.same(
    steps.map(({ request }) => request.operation),
    [
      'create_vpn_gateway',
      'create_vpn_gateway_connection',
      'create_vpn_gateway',
      'create_vpn_gateway_connection',
    ],
  );
  const addresses = subnets.flatMap(({ publicAddresses }) => publicAddresses);
  for (const { connections } of document.value.gateways) {
    for (const { peer } of connections) t.ok(addresses.includes(peer.address ?? ''), JSON.stringify(peer));
  }
  const script = read('network.sh');
  for (const { namespace } of vpcs) t.match(namespace, /^vpc-[12]$/);
  t.match(script, /ip netns add vpc-\$n/);
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  for (const name of ['network.sh', 'site.yaml', 'vpn.yaml']) t.match(readme, `fixtures/walkthrough/${name}`);
});
