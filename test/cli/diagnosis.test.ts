import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { showDiagnosis } from '../../src/cli/diagnosis-view.js';
import { statusReason } from '../../src/connection/reasons.js';
import { ApiLab, policyConnection } from '../helpers/api-lab.js';
import { commandLine } from '../helpers/command-line.js';

t.test('vpn-gateway-connection-explain: by name or id, as culvert explain prints it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const lab = await ApiLab.open(t);
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const run = (...argv: string[]) =>
    commandLine('vpn-gateway-connection-explain', ...argv, '--endpoint', `unix:${socketPath}`);
  const gateway = await lab.gateway('gw');
  const made = await lab.post(`/vpn_gateways/${gateway}/connections`, {
    ...policyConnection(1),
    name: 'to-branch',
  });
  const { id } = made.body;
  await lab.until(() => lab.runner.desired.get(gateway)?.members[0]?.connections.length === 1);
  const reason = statusReason({ cause: 'psk_mismatch', message: 'another key was used' });
  lab.runner.setConnection(id, { status: 'down', status_reasons: [reason] });

  const text = await run('gw', 'to-branch');
  t.equal(text.code, 1, 'it is not up');
  const [explanation] = await lab.runner.explain(gateway, id);
  const lines: string[] = [];
  const plain = (of: string): string => of;
  const terminal = { style: { bold: plain, dim: plain }, width: () => undefined };
  showDiagnosis(explanation!, {
    ...terminal,
    line: (line: string) => void lines.push(line),
    lines: (more: readonly string[]) => void lines.push(...more),
  } as never);
  t.equal(text.out, `${lines.join('\n')}\n`, 'one renderer');
  t.match(text.out, /^The connection is down\. Another key was used\.\ncause: psk_mismatch\n/);
  t.match((await run(gateway, id)).out, /^The connection is down\. Another key was used\./, 'by ids');

  const json = await run('gw', 'to-branch', '--output', 'json');
  t.equal(json.code, 1);
  t.match(JSON.parse(json.out), { name: 'to-branch', status: 'down', cause: 'psk_mismatch', timeline: [] });

  lab.runner.setConnection(id, { status: 'up', status_reasons: [] });
  t.match(await run('gw', 'to-branch'), { code: 0, out: /^The connection with 169\.21\.50\.1 is up/ });
  t.same(await run('gw', 'to-branch', '-q'), { code: 0, out: '', err: '' });

  lab.runner.setState(gateway, 'down');
  lab.runner.setFault(gateway, 0, { kind: 'ended', message: 'it is being started again' });
  const gone = await run('gw', 'to-branch');
  t.match(gone, { code: 1, out: /no gateway process carries it\. .*\ncause: gateway_ended\n\nWhat to do\n/ });
  t.match(gone.out, /What happens next\n {2}The gateway is started again by itself/);
  t.match(await run('gw', 'to-brunch'), { code: 1, err: /no connection of gw "to-brunch".*to-branch/ });
  t.match(await run('gw'), { code: 2 });
});

t.test('in route mode both tunnels, each with its address', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const lab = await ApiLab.open(t);
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const gateway = await lab.gateway('gw', 'route', '0717-sub2');
  const { psk } = policyConnection(1);
  const body = { name: 'to-branch', psk, peer: { address: '169.21.50.1' } };
  const made = await lab.post(`/vpn_gateways/${gateway}/connections`, body);
  await lab.until(() => lab.runner.desired.get(gateway)?.members[0]?.connections.length === 1);
  lab.runner.setConnection(made.body.id, { status: 'up' });
  lab.runner.setState(gateway, 'degraded');
  lab.runner.setFault(gateway, 1, { kind: 'silent', message: 'since noon' });
  const { code, out } = await commandLine(
    ...['vpn-gateway-connection-explain', 'gw', 'to-branch', '--endpoint', `unix:${socketPath}`],
  );
  t.equal(code, 1);
  const [first, second] = out.split('\n\nto-branch, tunnel 2 ');
  t.match(first, /^to-branch, tunnel 1 \(169\.61\.162\.\d\)\nThe connection with 169\.21\.50\.1 is up/);
  t.match(
    second,
    /^\(169\.61\.162\.\d\)\nWhat the connection does is not known\. [\s\S]*\ncause: gateway_silent/,
  );
});
