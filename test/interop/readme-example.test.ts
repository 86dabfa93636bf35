import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { createSiteLab, ping, SITE_A, SITE_B } from '../helpers/site-lab.js';
import { StrongSwan, skipWithoutStrongswan } from '../helpers/strongswan.js';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/config/${name}`, import.meta.url), 'utf8');

/** Without comments and indentation, which differ between a file and its place in the README. */
const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.replace(/#.*$/, '').trim())
    .filter((line) => line !== '');

t.test('the README prints the two files of its example', async (t) => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(/```\w*\n([\s\S]*?)```/g)].map((match) => lines(match[1]!).join('\n'));
  for (const name of ['strongswan-peer.yaml', 'strongswan-peer.swanctl.conf']) {
    t.ok(blocks.includes(lines(fixture(name)).join('\n')), name);
  }
});

t.test('the example of the README works as it stands', { skip: skipWithoutStrongswan() }, async (t) => {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  const { lab, folder } = site;
  await lab.check('b', ['ip', 'address', 'add', '10.3.0.1/24', 'dev', 'lo']);
  mkdirSync(join(folder, 'swan'));
  const swan = await StrongSwan.start(lab, 'b', join(folder, 'swan'));
  await swan.loadText(fixture('strongswan-peer.swanctl.conf'));
  const culvert = await CulvertDaemon.start(lab, 'a', folder, parse(fixture('strongswan-peer.yaml')));
  const up = await culvert.until('to-branch', (c) => c.status === 'up');
  t.same(up.children[0]?.local_ts, ['10.1.0.0/24']);
  t.same(up.children[0]?.peer_ts, ['10.2.0.0/24', '10.3.0.0/24'], 'both networks in one child SA');
  t.match(up.ike, { encryption: 'aes256', integrity: 'sha256', dh_group: 'group_14' });
  const third = { ...SITE_B, inside: '10.3.0.1', cidr: '10.3.0.0/24' };
  t.equal(await ping(lab, SITE_A, SITE_B, 3), 3, 'to the first network');
  t.equal(await ping(lab, SITE_A, third, 3), 3, 'to the second network');
  t.equal(await ping(lab, SITE_B, SITE_A, 3), 3, 'from the first network');
  t.equal(await culvert.stop(), 0);
  for (let tries = 0; tries < 50 && (await swan.sas()).length > 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const left = (await swan.sas()).filter((sa) => sa.state === 'ESTABLISHED');
  t.same(left, [], 'our end deleted the SAs at the peer');
  await swan.stop();
});
