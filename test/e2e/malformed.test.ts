import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { autoIkeProposals } from '../../src/ike/policy/matrix.js';
import { ikeOffer } from '../../src/ike/policy/proposals.js';
import { toHex } from '../../src/util/bytes.js';
import { encodeMessage } from '../../src/wire/ike/message.js';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { FIRST_HEADER } from '../helpers/ike-headers.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, type LabSite, ping, SITE_A, SITE_B } from '../helpers/site-lab.js';
import { readVectorLines, vectorsPresent } from '../helpers/vectors.js';

const DATAGRAMS = 10_000;
const SENDER = fileURLToPath(new URL('../helpers/malformed-sender.mjs', import.meta.url));

const skip = skipWithoutTun();

/** A well-formed IKE_SA_INIT to mutate, also when the third-party corpus is not beside the checkout. */
function ownSample(): string {
  const proposals = ikeOffer(autoIkeProposals('compatible'));
  return toHex(
    encodeMessage(FIRST_HEADER, [
      { kind: 'sa', proposals },
      { kind: 'ke', group: 14, data: new Uint8Array(256).fill(0x5a) },
      { kind: 'nonce', data: new Uint8Array(32).fill(7) },
      { kind: 'vendor', data: new Uint8Array(16).fill(1) },
    ]),
  );
}

function samples(): string[] {
  if (!vectorsPresent) return [ownSample()];
  const lines = [
    ...readVectorLines<{ kind: string; hex: string }>('malformed/ike-malformed.jsonl'),
    ...readVectorLines<{ kind: string; hex: string }>('malformed/ike-from-test-suites.jsonl'),
  ];
  return [ownSample(), ...lines.map((line) => line.hex).filter((hex) => hex.length > 0 && hex.length < 4000)];
}

type IkeVersion = 1 | 2;

function config(local: LabSite, peer: LabSite, version: IkeVersion) {
  const policy = {
    name: 'exact',
    ike_version: version,
    encryption_algorithm: 'aes256',
    authentication_algorithm: 'sha256',
    dh_group: 14,
  };
  return {
    gateway: { name: `site-${local.node}`, mode: 'policy', address: local.address },
    ike_policies: [policy],
    connections: [
      {
        name: 'tunnel',
        psk: 'correct-horse-battery',
        ike_policy: 'exact',
        local: { cidrs: [local.cidr] },
        peer: { address: peer.address, cidrs: [peer.cidr] },
      },
    ],
  };
}

/** Resident memory of a process in MiB. */
function residentMiB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) / 1024;
}

for (const version of [2, 1] as const) {
  t.test(`${DATAGRAMS} malformed datagrams to a gateway with an IKEv${version} tunnel up`, { skip }, (t) =>
    survives(t, version),
  );
}

async function survives(t: Test, version: IkeVersion): Promise<void> {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  const a = await CulvertDaemon.start(site.lab, 'a', site.folder, config(SITE_A, SITE_B, version));
  const b = await CulvertDaemon.start(site.lab, 'b', site.folder, config(SITE_B, SITE_A, version));
  await a.until('tunnel', (c) => c.status === 'up');
  await b.until('tunnel', (c) => c.status === 'up');
  t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3, 'the tunnel works before');
  const before = await a.until('tunnel', (c) => c.children.length === 1);

  const flood = async (seed: number, count: number): Promise<string> => {
    const child = site.lab.spawn('b', [process.execPath, SENDER], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin!.end(
      JSON.stringify({
        target: SITE_A.address,
        count,
        seed,
        version,
        ikeSpis: [before.ike?.initiator_spi, before.ike?.responder_spi],
        espSpi: before.children[0]?.spi_in,
        samples: samples(),
      }),
    );
    let sent = '';
    child.stdout!.on('data', (text) => {
      sent += text;
    });
    await new Promise((resolve) => child.once('close', resolve));
    return sent.trim();
  };
  // The first part warms the process up: code compiled, tables at their bounds. What follows must not add.
  t.equal(await flood(1, 2000), '2000');
  await sleep(300);
  const warm = residentMiB(a.pid);
  t.equal(await flood(2, DATAGRAMS), String(DATAGRAMS));
  await sleep(300);
  const grown = residentMiB(a.pid) - warm;

  t.ok(a.running, 'the daemon lives');
  t.equal(before.ike?.version, version);
  t.ok(grown < 48, `memory grew by ${grown.toFixed(1)} MiB from ${warm.toFixed(0)}`);
  const overflow = await site.lab.check('a', ['sh', '-c', 'cat /proc/net/udp']);
  const lost = overflow
    .split('\n')
    .slice(1)
    .filter((line) => line.trim() !== '')
    .map((line) => Number(line.trim().split(/\s+/).at(-1)));
  t.same(
    lost.filter((drops) => drops > 0),
    [],
    'no datagram was lost before it was read',
  );
  const after = await a.connection('tunnel');
  t.equal(after.status, 'up');
  t.equal(after.ike?.initiator_spi, before.ike?.initiator_spi, 'the IKE SA is the same');
  t.same(
    after.children.map((child) => child.spi_in),
    before.children.map((child) => child.spi_in),
    'so is the child SA',
  );
  t.equal(await ping(site.lab, SITE_A, SITE_B, 5), 5, 'and it carries traffic');
  t.equal(await ping(site.lab, SITE_B, SITE_A, 5), 5, 'both ways');
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
}
