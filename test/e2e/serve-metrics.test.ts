import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { stringify } from 'yaml';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { readExposition, type Series, valueIn } from '../helpers/exposition.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { ServeLab, TWO_GATEWAYS, until, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun();
const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];
const TOKEN = 'a-token-for-scrapes-only';

t.test('the metrics of a server and of its gateways, with a token', { skip, timeout: 120_000 }, async (t) => {
  const tokens = [{ name: 'prometheus', hash: hashSecret(TOKEN) }];
  const lab = await ServeLab.open({ metrics: { listen: '127.0.0.1:0', tokens } });
  t.teardown(() => lab.dispose());
  t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
  await lab.start();
  const where = /metrics are served at (http\S+\/metrics)/.exec(lab.log)?.[1];
  t.ok(where, lab.log);
  t.equal((await fetch(where!)).status, 401);
  const scrape = async (): Promise<Series[]> => {
    // Within half a second all get the same.
    await sleep(520);
    const headers = { authorization: `Bearer ${TOKEN}` };
    return readExposition(await (await fetch(where!, { headers })).text());
  };
  const file = join(lab.folder, 'vpn.yaml');
  writeFileSync(file, stringify(TWO_GATEWAYS), { mode: 0o600 });
  const applied = await lab.culvert('apply', '-f', file, '--wait');
  t.equal(applied.code, 0, applied.err);
  await until('the first ping', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 1);

  const up = await scrape();
  for (const gateway of ['gateway-1', 'gateway-2']) {
    const of = { gateway, member: '1' };
    t.equal(valueIn(up, 'culvert_gateway_up', of), 1);
    t.equal(valueIn(up, 'culvert_connection_up', { ...of, connection: 'to-the-other' }), 1);
    t.ok(valueIn(up, 'culvert_connection_packets_total', { ...of, direction: 'in' })! >= 1);
    t.ok(valueIn(up, 'culvert_worker_bursts_total', { ...of, direction: 'out' })! >= 1);
    t.ok(valueIn(up, 'culvert_gateway_resident_memory_bytes', of)! > 1e6);
    t.equal(valueIn(up, 'ibm_is_vpn_gateway_status', { ibm_is_vpn_gateway_name: gateway }), 1);
    t.equal(valueIn(up, 'ibm_is_vpn_connection_status', { ibm_is_vpn_gateway_name: gateway }), 1);
    t.ok(valueIn(up, 'ibm_is_vpn_connection_packets_in', { ibm_is_vpn_gateway_name: gateway })! >= 1);
  }
  const ibm = up.find(({ name }) => name === 'ibm_is_vpn_gateway_status')!.labels;
  t.match(ibm, { ibm_location: 'us-south', ibm_scope: 'a/b668aa2600ac21c890aef16a6210b2fd' });
  t.equal(valueIn(up, 'culvert_store_objects', { kind: 'vpn_gateway' }), 2);
  t.ok(valueIn(up, 'culvert_store_writes_total', { result: 'done' })! >= 1);
  const route = '/culvert/v1/transactions';
  t.ok(valueIn(up, 'culvert_api_requests_total', { method: 'POST', route })! >= 1);
  t.ok(valueIn(up, 'culvert_api_request_duration_seconds_count', { method: 'POST', route })! >= 1);
  t.equal(valueIn(up, 'culvert_api_auth_failures_total', { reason: 'missing' }), 0);
  t.equal((await fetch(`${lab.url}/v1/vpn_gateways?version=2026-03-24&generation=2`)).status, 401);

  // One that dies keeps its series, and counts as started again when it is.
  const listed = JSON.parse((await lab.culvert('vpn-gateways', '--output', 'json')).out);
  const { id } = listed.find(({ name }: { name: string }) => name === 'gateway-1');
  process.kill(lab.gateways(id)[0]!, 'SIGKILL');
  await until('the gateway is started again', async () => {
    const now = await scrape();
    return valueIn(now, 'culvert_gateway_restarts_total', { gateway: 'gateway-1' }) === 1;
  });
  const after = await scrape();
  const names = (series: readonly Series[]): Set<string> =>
    new Set(series.filter(({ name }) => name.startsWith('culvert_connection_')).map(({ name }) => name));
  t.same(names(after), names(up), 'no family of a connection has vanished');
  t.equal(valueIn(after, 'culvert_api_auth_failures_total', { reason: 'missing' }), 1);
  t.notMatch(JSON.stringify(after), /correct-horse/);
});
