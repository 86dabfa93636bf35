import { fileURLToPath } from 'node:url';
import t from 'tap';
import { CulvertDaemon, down, up } from '../helpers/culvert-daemon.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { programOutcome, UNHOOKED } from '../helpers/program.js';
import { createSiteLab, SITE_A, SITE_B, siteConfig } from '../helpers/site-lab.js';

const example = (name: string): string =>
  fileURLToPath(new URL(`../../docs/examples/${name}.mjs`, import.meta.url));

t.test('two engines over an array', async (t) => {
  const { code, out, err } = await programOutcome([
    'env',
    ...UNHOOKED,
    process.execPath,
    example('two-engines'),
  ]);
  t.equal(code, 0, err);
  t.match(out, /192\.0\.2\.1: IKE SA established\n/);
  t.match(out, /20 octets became 56 octets of ESP and 20 again\n$/);
});

t.test('an initiator over UDP, beside the daemon', { skip: skipWithoutTun() }, async (t) => {
  const { lab, folder, dispose } = await createSiteLab();
  t.teardown(dispose);
  const waits = siteConfig(SITE_B, SITE_A, { establish_mode: 'peer_only' });
  const daemon = await CulvertDaemon.start(lab, 'b', folder, waits);
  t.teardown(() => daemon.stop());
  const run = (psk: string) => {
    const ends = [SITE_A.address, SITE_A.cidr, SITE_B.address, SITE_B.cidr];
    const argv = [...UNHOOKED, `CULVERT_PSK=${psk}`, process.execPath, example('udp-initiator'), ...ends];
    return lab.run('a', ['env', ...argv]);
  };
  const wrong = await run('another-key');
  t.equal(wrong.code, 1);
  t.match(wrong.stdout, /failed: .*AUTHENTICATION_FAILED|failed: .*key/);
  const right = run('correct-horse-battery');
  await daemon.until('c', up, 20);
  const { code, stdout, stderr } = await right;
  t.equal(code, 0, stderr);
  t.match(
    stdout,
    /IKE_SA_INIT.*IKE_AUTH.*ESP SAs [0-9a-f]+ in, [0-9a-f]+ out, in udp\nestablished\n.*closed\n$/s,
  );
  await daemon.until('c', down, 20);
});
