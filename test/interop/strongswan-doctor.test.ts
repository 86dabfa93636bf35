import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { askedDoctor } from '../helpers/asked-doctor.js';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab } from '../helpers/site-lab.js';
import { StrongSwan } from '../helpers/strongswan.js';
import { culvertConfig, IKE, swanConnection } from '../helpers/strongswan-pair.js';

const skip = skipWithoutTun() || skipWithoutProgram('charon-systemd');

t.test('before a gateway is started: what strongSwan answers to the doctor', { skip }, async (t) => {
  const { lab, folder, dispose } = await createSiteLab();
  t.teardown(dispose);
  await lab.forward('a');
  const start = async (node: string): Promise<StrongSwan> => {
    const own = join(folder, `swan-${node}`);
    mkdirSync(own);
    const swan = await StrongSwan.start(lab, node, own);
    t.teardown(() => swan.stop());
    return swan;
  };
  const findings = async (config: ReturnType<typeof culvertConfig>) => {
    const { entries } = (await askedDoctor({ lab, folder }, config)).report;
    const found = entries.filter(({ result }) => result === 'finding');
    return found.map(({ code, message, evidence }) => [code, message, ...evidence].join(' | '));
  };
  const swan = await start('b');
  for (const ikeVersion of [2, 1] as const) {
    await swan.load(swanConnection({ version: ikeVersion }));
    t.same(await findings(culvertConfig({ ikeVersion, ike: IKE })), [], `IKEv${ikeVersion}`);
    const other = { ...IKE, encryption_algorithm: 'aes128', authentication_algorithm: 'sha1' };
    t.match(await findings(culvertConfig({ ikeVersion, ike: other })), [/^ike_proposal_mismatch \| /]);
  }
  await start('a');
  const [taken, ...more] = await findings(culvertConfig({ ikeVersion: 1, ike: IKE }));
  t.match(taken, /^port_taken \| UDP 500 and 4500 of this host: taken by charon-systemd/);
  t.same(more, [], 'and the peer is asked from other ports');
});
