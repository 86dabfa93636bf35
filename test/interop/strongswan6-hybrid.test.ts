import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import { ping, SITE_A, SITE_B, untilTraffic } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { hybridStrongswan } from '../helpers/strongswan.js';
import { culvertConfig, type SwanPair, swanConnection, withPair } from '../helpers/strongswan-pair.js';
import { sameSas } from '../helpers/swan-sites.js';

/** strongSwan 6 with a plugin that has ML-KEM. */
const { root, skip } = hybridStrongswan();

/** Names of the connection at both ends. */
const NAME = 'to-b';

type Cipher = 'aes256gcm16' | 'aes128gcm16';

interface Wish {
  readonly methods: readonly string[];
  /** Another cipher makes a reload rekey what the policy is for. */
  readonly ike?: Cipher;
  readonly esp?: Cipher;
  readonly establishMode?: 'bidirectional' | 'peer_only';
  readonly limits?: object;
}

function culvertFile({ methods, ike = 'aes256gcm16', esp = 'aes256gcm16', ...rest }: Wish) {
  const additional_key_exchanges = methods;
  return culvertConfig({
    ike: {
      encryption_algorithm: ike,
      authentication_algorithm: 'sha256',
      dh_group: 31,
      additional_key_exchanges,
    },
    esp: { encryption_algorithm: esp, pfs: 'group_31', additional_key_exchanges },
    dpd: { action: 'restart', interval: 5, timeout: 60 },
    ...rest,
  });
}

/** `ml_kem_768` and so on as strongSwan's proposals have them, `ke1_mlkem768`. */
function swanFile(methods: readonly string[], more: object = {}) {
  const exchanges = methods.map((name, index) => `-ke${index + 1}_${name.replaceAll('_', '')}`).join('');
  return swanConnection({
    name: NAME,
    proposals: `aes256gcm16-prfsha256-x25519${exchanges},aes128gcm16-prfsha256-x25519${exchanges}`,
    espProposals: `aes256gcm16-x25519${exchanges},aes128gcm16-x25519${exchanges}`,
    children: [{ name: 'c', localTs: SITE_B.cidr, remoteTs: SITE_A.cidr }],
    ...more,
  });
}

/** Both ends with a tunnel that carries packets, begun by strongSwan if Culvert only waits. */
async function withTunnel(
  t: Test,
  wish: Wish,
  body: (pair: SwanPair) => Promise<void>,
  options: { readonly settings?: string; readonly connection?: object } = {},
): Promise<void> {
  const { settings = '', connection = {} } = options;
  await withPair(
    t,
    culvertFile(wish),
    swanFile(wish.methods, connection),
    async (pair) => {
      if (wish.establishMode === 'peer_only') {
        const { ok, output } = await pair.swan.initiate('c', 20);
        t.ok(ok, output.slice(-500));
      }
      const up = await pair.culvert.until(NAME, ({ children }) => children.length > 0, 30);
      t.strictSame(up.ike?.additional_key_exchanges, wish.methods, 'what the status shows of the IKE SA');
      await untilTraffic(pair.site.lab, SITE_A, SITE_B);
      await body(pair);
    },
    { swan: { root, settings } },
  );
}

/** A rekey, and what the status shows after it. */
async function rekeyed(
  pair: SwanPair,
  what: 'ike' | 'child',
  begin: () => Promise<unknown>,
): Promise<ConnectionStatusDocument> {
  const before = await pair.culvert.connection(NAME);
  await begin();
  return untilOther(pair, what, before);
}

/** The IKE SA, or the child SA, is another one than `before`. */
async function untilOther(
  { culvert }: SwanPair,
  what: 'ike' | 'child',
  before: ConnectionStatusDocument,
): Promise<ConnectionStatusDocument> {
  return culvert.until(
    NAME,
    ({ ike, children }) =>
      what === 'ike'
        ? ike !== null && ike.initiator_spi !== before.ike?.initiator_spi
        : children.some((one) => before.children.every((old) => old.spi_in !== one.spi_in)),
    60,
  );
}

/** Both ends use the same IKE SA and child SA, and here those that were replaced are gone. */
async function settled({ swan, culvert }: SwanPair): Promise<void> {
  await culvert.until(NAME, ({ children }) => children.length === 1, 60);
  await sameSas(culvert, swan, NAME);
}

/** Rekeys of both kinds by both ends, under ping, those by Culvert only if it begins exchanges at all. Returns how many pings were lost. */
async function rekeys(t: Test, pair: SwanPair, wish: Wish): Promise<number> {
  const { site, swan, culvert } = pair;
  const ends =
    wish.establishMode === 'peer_only' ? (['strongSwan'] as const) : (['strongSwan', 'Culvert'] as const);
  const steady = steadyPing(site.lab, SITE_A, SITE_B, 0.02);
  const now: { ike: Cipher; esp: Cipher } = { ike: 'aes256gcm16', esp: 'aes256gcm16' };
  for (const what of ['child', 'ike', 'child'] as const) {
    for (const who of ends) {
      const status = await rekeyed(pair, what, async () => {
        if (who === 'strongSwan') return swan.rekey(what, NAME);
        const field = what === 'ike' ? 'ike' : 'esp';
        now[field] = now[field] === 'aes256gcm16' ? 'aes128gcm16' : 'aes256gcm16';
        return culvert.reload(culvertFile({ ...wish, ...now }));
      });
      const shown = what === 'ike' ? status.ike : status.children.at(-1);
      t.strictSame(shown?.additional_key_exchanges, wish.methods, `${what} rekeyed by ${who}`);
      await settled(pair);
    }
  }
  // The last SAs are to carry some of it, however little time all of this takes.
  await sleep(1000);
  const { sent, lost } = await steady.stop();
  t.ok(sent > 50, `${sent} pings`);
  return lost;
}

for (const method of ['ml_kem_768', 'ml_kem_1024']) {
  t.test(`${method}: Culvert initiates, and both ends rekey`, { skip }, async (t) => {
    const wish = { methods: [method] };
    await withTunnel(t, wish, async (pair) => {
      t.equal(await rekeys(t, pair, wish), 0, 'no ping is lost');
    });
  });
  t.test(`${method}: strongSwan initiates, and rekeys`, { skip }, async (t) => {
    const wish = { methods: [method], establishMode: 'peer_only' } as const;
    await withTunnel(t, wish, async (pair) => {
      t.equal(await rekeys(t, pair, wish), 0, 'no ping is lost');
    });
  });
}

t.test('two additional key exchanges, in small fragments', { skip }, async (t) => {
  const wish = { methods: ['ml_kem_1024', 'ml_kem_512'], limits: { fragment_packet: 576 } };
  await withTunnel(
    t,
    wish,
    async (pair) => {
      t.match(pair.culvert.log(), /IKE_INTERMEDIATE.* in \d fragments/);
      t.match(pair.swan.log(), /splitting IKE message .* into \d+ fragments/);
      t.equal(await rekeys(t, pair, wish), 0, 'no ping is lost');
    },
    { settings: 'fragment_size = 500' },
  );
});

/** One IKE message in five is lost on its way to either end; packets of the tunnel are not. */
const LOSS = dropping('numgen random mod 5 0');
/** All of them. */
const SILENCE = dropping('');

function dropping(which: string): string {
  return [
    'add table ip loss',
    'add chain ip loss in { type filter hook prerouting priority -300 ; }',
    `add rule ip loss in udp dport 500 ${which} counter drop`,
    `add rule ip loss in udp dport 4500 @th,64,32 0 ${which} counter drop`,
  ].join('; ');
}

for (const establishMode of ['bidirectional', 'peer_only'] as const) {
  const who = establishMode === 'peer_only' ? 'strongSwan' : 'Culvert';
  t.test(`a fifth of all IKE messages is lost, ${who} initiates`, { skip }, async (t) => {
    const wish = { methods: ['ml_kem_768'], establishMode };
    const settings = 'retransmit_tries = 12\n  retransmit_limit = 2';
    await withTunnel(
      t,
      wish,
      async (pair) => {
        const { lab } = pair.site;
        for (const node of ['a', 'b']) await lab.check(node, ['nft', LOSS]);
        t.equal(await rekeys(t, pair, wish), 0, 'no ping is lost');
        const dropped = await lab.check('a', ['nft', 'list', 'table', 'ip', 'loss']);
        t.match(dropped, /counter packets [1-9]/, 'messages were lost');
      },
      { settings },
    );
  });
}

t.test('both ends rekey the same SA at the same time', { skip }, async (t) => {
  const wish = { methods: ['ml_kem_768'] };
  await withTunnel(t, wish, async (pair) => {
    const { site, swan, culvert } = pair;
    const now = { ike: 'aes256gcm16', esp: 'aes256gcm16' } as { ike: Cipher; esp: Cipher };
    for (const what of ['child', 'ike', 'child', 'ike', 'child'] as const) {
      const field = what === 'ike' ? 'ike' : 'esp';
      now[field] = now[field] === 'aes256gcm16' ? 'aes128gcm16' : 'aes256gcm16';
      const before = await culvert.connection(NAME);
      // Both requests are lost at first, so that each end has one under way when that of the other comes.
      for (const node of ['a', 'b']) await site.lab.check(node, ['nft', SILENCE]);
      await swan.rekey(what, NAME);
      await culvert.reload(culvertFile({ ...wish, ...now }));
      for (const node of ['a', 'b']) await site.lab.check(node, ['nft', 'delete table ip loss']);
      await untilOther(pair, what, before);
      await settled(pair);
    }
    t.match(swan.log(), /collision/);
    t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
  });
});

t.test('strongSwan wants the IKE SA without a child SA first (RFC 6023)', { skip }, async (t) => {
  const wish = { methods: ['ml_kem_768'], establishMode: 'peer_only' } as const;
  const connection = { extra: 'childless = force' };
  const body = async ({ site, culvert }: SwanPair): Promise<void> => {
    const { children } = await culvert.connection(NAME);
    t.strictSame(
      children[0]?.additional_key_exchanges,
      wish.methods,
      'the first child SA has its own exchange',
    );
    t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
  };
  await withTunnel(t, wish, body, { connection });
});

t.test('a peer without ML-KEM is refused, with the reason at both ends', { skip }, async (t) => {
  await withPair(
    t,
    culvertFile({ methods: ['ml_kem_768'], establishMode: 'peer_only' }),
    swanConnection({ name: NAME, proposals: 'aes256gcm16-prfsha256-x25519', espProposals: 'aes256gcm16' }),
    async ({ swan, culvert }) => {
      t.notOk((await swan.initiate(NAME, 5)).ok);
      t.match(swan.log(), /NO_PROPOSAL_CHOSEN|NO_PROP/);
      t.match(culvert.log(), /additional key exchange/);
    },
    { swan: { root } },
  );
});
