import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import { up } from '../helpers/culvert-daemon.js';
import { createNatLab, type NatLab, type NatLabOptions } from '../helpers/nat-lab.js';
import { ping, untilTraffic } from '../helpers/site-lab.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import { type Ends, type Link, sameSas, withEnds } from '../helpers/swan-sites.js';

const skip = skipWithoutStrongswan();
/** Culvert is site a, strongSwan is site b. */
type Initiator = 'Culvert' | 'strongSwan';

interface Case extends NatLabOptions {
  readonly title: string;
  readonly initiator: Initiator;
}

/** Every place of a NAT, initiated from each side that can reach the other one. */
const CASES: readonly Case[] = [
  { title: 'no NAT', natted: [], initiator: 'Culvert' },
  { title: 'NAT on our side', natted: ['a'], initiator: 'Culvert' },
  { title: 'NAT on our side that hands IKE to us', natted: ['a'], forwarded: ['a'], initiator: 'strongSwan' },
  { title: "NAT on the peer's side", natted: ['b'], initiator: 'strongSwan' },
  {
    title: "NAT on the peer's side that hands IKE to it",
    natted: ['b'],
    forwarded: ['b'],
    initiator: 'Culvert',
  },
  { title: 'NAT on both sides', natted: ['a', 'b'], forwarded: ['b'], initiator: 'Culvert' },
  { title: 'NAT on both sides', natted: ['a', 'b'], forwarded: ['a'], initiator: 'strongSwan' },
];

/** strongSwan's wait between keepalives in seconds. Culvert's is twenty. */
const THEIR_KEEPALIVE = 2;
const OUR_KEEPALIVE = 20;

function link(version: 1 | 2, nat: NatLab, initiator: Initiator): Link {
  return {
    name: 'c',
    version,
    local: nat.a,
    peer: nat.b,
    localFromPeer: initiator === 'strongSwan' ? nat.outside('a') : '%any',
    peerFromLocal: nat.outside('b'),
    psk: 'correct-horse-battery',
    culvert: {
      establish_mode: initiator === 'Culvert' ? 'bidirectional' : 'peer_only',
      dead_peer_detection: { action: 'restart', interval: 5, timeout: 60 },
    },
  };
}

async function natted(
  t: Test,
  { version, initiator, ...options }: NatLabOptions & { version: 1 | 2; initiator: Initiator },
  body: (nat: NatLab, ends: Ends, connection: ConnectionStatusDocument) => Promise<void>,
): Promise<void> {
  const nat = await createNatLab(options);
  try {
    const settings = { settings: `keep_alive = ${THEIR_KEEPALIVE}s` };
    await withEnds(
      t,
      nat,
      [link(version, nat, initiator)],
      async (ends) => {
        if (initiator === 'strongSwan') {
          const { ok, output } = await ends.swan.initiate();
          if (!ok) throw new Error(output);
        }
        const connection = await ends.culvert.until('c', up, 30);
        await sameSas(ends.culvert, ends.swan, 'c');
        await body(nat, ends, connection);
      },
      settings,
    );
  } finally {
    await nat.dispose();
  }
}

// Most of the time they wait for keepalives.
t.jobs = 7;

for (const version of [2, 1] as const) {
  for (const { title, ...one } of CASES) {
    t.test(`IKEv${version}, ${title}, ${one.initiator} initiates`, { skip, buffered: true }, async (t) => {
      await natted(t, { version, ...one }, async (nat, { swan }, connection) => {
        const since = performance.now();
        const behind = { local: one.natted.includes('a'), peer: one.natted.includes('b') };
        // kernel-libipsec carries ESP in UDP only, so strongSwan always says that it is behind a NAT. It takes a
        // packet from a port or an address that is not the configured one to know: one that its router changed.
        const seen = behind.peer && one.initiator === 'strongSwan';
        t.same(connection.ike?.nat, { local: behind.local, peer: true, peer_may_force: !seen });
        t.match(connection.children, [{ encapsulation: 'udp' }]);
        const [sa] = await swan.sas();
        t.equal(sa?.fields['nat-local'] === 'yes', behind.peer, 'the peer finds the NAT where it is');
        t.equal(sa?.fields['remote-host'], nat.outside('a'));
        await untilTraffic(nat.lab, nat.a, nat.b);
        for (let n = 0; n < 3; n++) {
          t.equal(await ping(nat.lab, nat.b, nat.a), 1, 'there');
          t.equal(await ping(nat.lab, nat.a, nat.b), 1, 'and back');
        }
        while (performance.now() - since < (OUR_KEEPALIVE + 2) * 1000) await sleep(500);
        const [ours, theirs] = [await nat.keepalives('a'), await nat.keepalives('b')];
        if (behind.local) t.ok(ours >= 1, 'we keep our mapping alive');
        else t.equal(ours, 0, 'not behind a NAT we send no keepalives');
        if (behind.peer) t.ok(theirs >= 2, `the peer sent ${theirs}, which disturb nothing`);
        t.equal(await ping(nat.lab, nat.b, nat.a), 1, 'the way is still open');
        t.equal(await ping(nat.lab, nat.a, nat.b), 1);
      });
    });
  }
}

/** Sends octets from the address and a port of a router to the gateway of site a, port 4500. */
async function forge(nat: NatLab, octets: Uint8Array): Promise<void> {
  const escaped = [...octets].map((octet) => `\\x${octet.toString(16).padStart(2, '0')}`).join('');
  await nat.lab.check('rb', ['bash', '-c', `printf '${escaped}' > /dev/udp/${nat.a.address}/4500`]);
}

const fromHex = (text: string): number[] => [...Buffer.from(text, 'hex')];
const zeros = (length: number): number[] => new Array<number>(length).fill(0);

for (const version of [2, 1] as const) {
  t.test(
    `IKEv${version}: a mapping that changes is followed, forged packets are not`,
    { skip, buffered: true },
    async (t) => {
      const options = { version, natted: ['b'], initiator: 'strongSwan' } as const;
      await natted(t, options, async (nat, { culvert, swan }, before) => {
        await untilTraffic(nat.lab, nat.b, nat.a);
        // From the router's own address and another port, as after a change of the mapping, but without the keys.
        const [child] = before.children;
        const esp = [...fromHex(child!.spi_in), 0, 0, 0, 9, ...zeros(96)];
        const { initiator_spi, responder_spi } = before.ike!;
        const spis = [...fromHex(initiator_spi), ...fromHex(responder_spi)];
        const informational =
          version === 2
            ? [...zeros(4), ...spis, 46, 0x20, 37, 0x08, 0, 0, 0, 2, 0, 0, 0, 80, 0, 0, 0, 52, ...zeros(48)]
            : [...zeros(4), ...spis, 8, 0x10, 5, 0x01, 1, 2, 3, 4, 0, 0, 0, 76, ...zeros(48)];
        for (let n = 0; n < 3; n++) {
          await forge(nat, Uint8Array.from(esp));
          await forge(nat, Uint8Array.from(informational));
          await forge(nat, Uint8Array.of(0xff));
        }
        await culvert.until('c', ({ drops }) => Object.values(drops ?? {}).some((count) => count >= 3));
        const still = await culvert.connection('c');
        t.equal(still.ike?.peer_endpoint, before.ike?.peer_endpoint, 'no forged packet moved the peer');
        t.equal(await ping(nat.lab, nat.b, nat.a), 1);

        // The router forgets. The next packet of the peer comes from another port: ESP, or IKE where it has none.
        for (const first of ['ESP', 'IKE'] as const) {
          const was = (await culvert.connection('c')).ike!.peer_endpoint;
          await nat.forgetMappings('b');
          const started = performance.now();
          // Its answer goes to the old port: this end learns of the new one by this packet.
          if (first === 'ESP') void ping(nat.lab, nat.b, nat.a);
          else await swan.rekey('child');
          const moved = await culvert.until('c', ({ ike }) => ike !== null && ike.peer_endpoint !== was, 20);
          t.comment(`followed by ${first} after ${Math.round(performance.now() - started)} ms`);
          t.ok(moved.ike!.peer_endpoint.startsWith(`${nat.outside('b')}:`), 'the same address, another port');
          t.equal(moved.ike!.initiator_spi, initiator_spi, 'in the same IKE SA');
          t.equal(await ping(nat.lab, nat.a, nat.b, 3), 3, 'traffic finds the new port');
          t.equal(await ping(nat.lab, nat.b, nat.a, 3), 3);
        }
        t.match(await culvert.connection('c'), { flaps: { total: 0 } });
      });
    },
  );

  t.test(
    `IKEv${version}: our own mapping changes, the peer follows us`,
    { skip, buffered: true },
    async (t) => {
      await natted(t, { version, natted: ['a'], initiator: 'Culvert' }, async (nat, { culvert }, before) => {
        await untilTraffic(nat.lab, nat.a, nat.b);
        for (const change of ['port', 'address'] as const) {
          if (change === 'port') await nat.forgetMappings('a');
          else await nat.moveOutside();
          const time = await untilTraffic(nat.lab, nat.a, nat.b);
          t.comment(`another ${change} of ours: traffic after ${time} ms`);
          t.equal(await ping(nat.lab, nat.b, nat.a, 3), 3, 'the peer sends to the new place');
        }
        const after = await culvert.connection('c');
        t.equal(after.ike?.initiator_spi, before.ike?.initiator_spi, 'in the same IKE SA');
      });
    },
  );
}
