import { writeFileSync } from 'node:fs';
import t from 'tap';
import { stringify } from 'yaml';
import { rereadFile } from '../../src/daemon/gateway/reread-file.js';
import { commandLine } from '../helpers/command-line.js';
import { FakeHost } from '../helpers/fake-host.js';
import { ADDRESS, GatewayBench, isUp, PSK } from '../helpers/gateway-pair.js';

const WEAK = {
  ike_policies: [
    { name: 'old', encryption_algorithm: 'aes128', authentication_algorithm: 'sha1', dh_group: 2 },
    { name: 'new', encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', dh_group: 14 },
  ],
};

t.test('explain: text for people, JSON for programs, exit codes', async (t) => {
  const pair = new GatewayBench();
  t.teardown(() => pair.dispose());
  const b = await pair.start('b', {
    policies: WEAK,
    connection: { ike_policy: 'old', establish_mode: 'peer_only' },
  });
  await pair.start('a', { policies: WEAK, connection: { ike_policy: 'new' } });
  await b.until((one) =>
    one.status_reasons.some((reason) => reason.details?.cause === 'ike_proposal_mismatch'),
  );
  const text = await commandLine('explain', 'c', '--control', b.control);
  t.equal(text.code, 1);
  t.match(text.out, /^The connection is down\. /);
  t.match(text.out, /cause: ike_proposal_mismatch/);
  t.match(text.out, /What to do\n {2}- /);
  t.match(text.out, /we accept +peer offers/, 'both offers side by side');
  t.match(text.out, /AES_CBC-128.*MODP_1024.*AES_CBC-256.*MODP_2048/);
  t.match(text.out, /What happened lately[\s\S]*received +from .*IKE_SA_INIT request/);
  const json = await commandLine('explain', 'c', '--control', b.control, '--output', 'json');
  t.match(JSON.parse(json.out), {
    name: 'c',
    status: 'down',
    cause: 'ike_proposal_mismatch',
    timeline: [{}],
  });
  t.match(await commandLine('explain', 'cc', '--control', b.control), {
    code: 1,
    err: /no connection "cc".*"c"/,
  });
  t.match(await commandLine('explain'), { code: 2, err: /needs a NAME/ });
  t.match(await commandLine('explain', 'c', '--control', `${b.control}.none`), { code: 1, err: /no daemon/ });
});

t.test('reload: the plan, the deed, refusals', async (t) => {
  const pair = new GatewayBench();
  t.teardown(() => pair.dispose());
  const path = `${pair.folder}/a.yaml`;
  const write = (over: object, gateway: object = {}): void =>
    writeFileSync(
      path,
      stringify({
        gateway: { name: 'site-a', address: ADDRESS.a, control: pair.control('a'), ...gateway },
        connections: [
          {
            name: 'c',
            psk: PSK,
            local: { cidrs: ['10.1.0.0/24'] },
            peer: { address: ADDRESS.b, cidrs: ['10.2.0.0/24'] },
            ...over,
          },
        ],
      }),
    );
  write({});
  const host = new FakeHost();
  const a = await pair.start('a', {}, { reread: () => rereadFile(path), host });
  await pair.start('b');
  await a.until(isUp);
  const reload = (...more: string[]) => commandLine('reload', '--control', a.control, ...more);
  t.match(await reload(), { code: 0, out: /no difference: 1 connection is as in the file/ });

  write({ dead_peer_detection: { interval: 3 } });
  const plan = await reload('--dry-run');
  t.equal(plan.code, 0);
  t.match(plan.out, /c +dead_peer_detection +live +running SAs are watched by it at once/);
  t.match(plan.out, /^this would be done$/m);
  const again = JSON.parse((await reload('--dry-run', '--output', 'json')).out) as object;
  t.match(again, { ok: true, dry_run: true, connections: [{ name: 'c', changes: [{ action: 'live' }] }] });
  t.match(await reload(), { code: 0, out: /^done$/m });
  t.match(await reload(), { out: /no difference/ });

  write({ peer: { address: ADDRESS.b } });
  t.match(await reload(), {
    code: 1,
    err: /a\.yaml:\d+:\d+: .*peer\.cidrs[\s\S]*nothing was changed: correct the file/,
  });
  write({}, { interface: 'other' });
  const refused = await reload();
  t.equal(refused.code, 1);
  t.match(refused.out, /gateway +gateway\.interface +restart/);
  t.match(refused.err, /a change needs a restart/);
  t.ok(isUp(a.connection()), 'and all that while it was up');
  t.match(await commandLine('reload', '--dryrun'), { code: 2, err: /did you mean "--dry-run"/ });

  // errno 17 is EEXIST: somebody else has a route to it.
  Object.assign(host.network, { refuse: '10.9.0.0/24 dev', errno: 17 });
  const peer = { address: ADDRESS.b, cidrs: ['10.2.0.0/24', '10.9.0.0/24'] };
  write({ dead_peer_detection: { interval: 3 }, peer });
  const partly = await reload();
  t.match(partly, { code: 1, err: /10\.9\.0\.0\/24/, out: /done, but for what this host refused; / });
  t.notMatch(partly.out, /done;/, 'not both at once');
});
