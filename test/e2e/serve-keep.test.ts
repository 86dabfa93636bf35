import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { stringify } from 'yaml';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { HelperProgram } from '../helpers/helper-program.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { ServeLab, TWO_GATEWAYS, until, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun();
const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

/** Pings at 20 per second until it is ended; gives how many were sent and how many were lost. */
function pinging(lab: ServeLab): () => Promise<{ sent: number; lost: number }> {
  const pid = lab.network.pid(vpc1.host);
  const argv = [`--net=/proc/${pid}/ns/net`, 'ping', '-n', '-i', '0.05', '-W', '2', vpc2.hostAddress];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  const program = new HelperProgram('ping', child);
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  return async () => {
    await program.stop();
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
    return { sent: Number(sent), lost: Number(sent) - Number(received) };
  };
}

t.test('new tokens and new servers take no tunnel down', { skip, timeout: 240_000 }, async (t) => {
  const lab = await ServeLab.open({ on_stop: 'keep' });
  t.teardown(() => lab.dispose());
  t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
  await lab.start();
  const file = join(lab.folder, 'vpn.yaml');
  writeFileSync(file, stringify(TWO_GATEWAYS), { mode: 0o600 });
  const applied = await lab.culvert('apply', '-f', file, '--wait');
  t.equal(applied.code, 0, applied.err);
  await until('the first ping', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 1);
  const gateways = lab.gateways();
  t.equal(gateways.length, 2);

  const stop = pinging(lab);
  const token = 'a-new-token-for-ann';
  const asAnn = async () => {
    const url = `${lab.url}/v1/subnets?version=2026-03-24&generation=2`;
    return (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status;
  };
  t.equal(await asAnn(), 401);
  lab.configure({ tokens: [{ name: 'ann', role: 'viewer', hash: hashSecret(token) }] });
  process.kill(lab.pid, 'SIGHUP');
  await until('the new token', async () => (await asAnn()) === 200);

  t.equal(await lab.end('SIGTERM'), 0, 'the server ends in good order');
  t.match(lab.log, /the gateways keep running without a server/);
  t.same(lab.gateways(), gateways, 'and leaves its gateways');
  await lab.start();
  await until('it has found them', async () => {
    const { out } = await lab.culvert('vpn-gateway-connections', 'gateway-1', '--output', 'json');
    return /"status": ?"up"/.test(out);
  });
  t.same(lab.gateways(), gateways);
  // All of it may take less than a second.
  await sleep(500);
  const { sent, lost } = await stop();
  t.ok(sent > 20, `${sent} pings`);
  t.equal(lost, 0, 'not one was lost');

  lab.configure({ on_stop: 'stop' });
  process.kill(lab.pid, 'SIGHUP');
  await until('it has read that', () => /was read again: .*on_stop.* changed/.test(lab.log));
  t.equal(await lab.end('SIGTERM'), 0);
  t.same(lab.gateways(), [], 'with "stop" they end with the server');
});
