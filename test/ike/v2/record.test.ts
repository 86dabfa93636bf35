import t from 'tap';
import { Engine } from '../../../src/ike/engine.js';
import { DEFAULT_LIMITS } from '../../../src/ike/limits.js';
import { type SaRecord, wipeRecord } from '../../../src/ike/sa/record.js';
import { isV2Record, type V2SaRecord } from '../../../src/ike/v2/record.js';
import { toHex } from '../../../src/util/bytes.js';
import { SecretKey } from '../../../src/util/secret.js';
import { Dh, Encr, ExchangeType, Integ, Prf } from '../../../src/wire/ike/registry.js';
import { establishedPair, faults, type Pair, type SimNode } from '../../helpers/engine-pair.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { createToyBackend } from '../../helpers/toy-crypto.js';

const PFS = [
  {
    encryption: [{ id: Encr.AES_CBC, keyBits: 128 }],
    integrity: [Integ.HMAC_SHA2_256_128],
    dh: [Dh.CURVE25519],
  },
];

function pfsPair(): Pair {
  return establishedPair({ east: { espProposals: PFS }, west: { espProposals: PFS } });
}

function recordOf({ engine }: SimNode): V2SaRecord {
  const [record] = engine.export();
  if (record === undefined || !isV2Record(record)) throw new Error('nothing to export');
  return record;
}

function another(node: SimNode): Engine {
  const random = new SeededRandom(99);
  return new Engine({ crypto: createToyBackend(), random, limits: DEFAULT_LIMITS, config: node.config });
}

/** The octets of all messages of a name that were sent, each once. */
function sent({ sim }: Pair, name: string): { readonly times: number; readonly different: number } {
  const all = sim.net.sent.filter((packet) => packet.name === name).map(({ bytes }) => toHex(bytes));
  return { times: all.length, different: new Set(all).size };
}

for (const [victim, message] of [
  ['east', 'CREATE_CHILD_SA response'],
  ['west', 'CREATE_CHILD_SA response'],
  ['east', 'CREATE_CHILD_SA request'],
] as const) {
  for (const scope of ['children', 'ike'] as const) {
    t.test(
      `${scope} rekeyed with Diffie-Hellman, the ${message} is lost, ${victim} handed over`,
      async (t) => {
        const made = pfsPair();
        const { sim, east, west } = made;
        const before = sent(made, 'CREATE_CHILD_SA request').times;
        sim.net.impair(message, { kind: 'drop' });
        sim.input(east, { kind: 'renew', connection: 'site', scope });
        sim.run(sim.now + 300);
        t.equal(recordOf(east).ike.active?.exchange.kind, scope === 'ike' ? 'rekey-ike' : 'create-child');
        sim.handOver(made[victim]);
        sim.run(sim.now + 20_000);
        t.equal(faults(made), undefined);
        const requests = sent(made, 'CREATE_CHILD_SA request');
        t.equal(requests.times - before, 2);
        t.equal(requests.different, before + 1, 'the same octets again');
        if (message === 'CREATE_CHILD_SA response')
          t.match(sent(made, message), { times: before + 2, different: before + 1 }, 'answered as before');
        if (scope === 'ike') return;
        const [child] = west.childInfo.values();
        t.equal(child?.suite.dh, Dh.CURVE25519);
      },
    );
  }
}

t.test('a record prints no key, and wiping it wipes the private value of an exchange too', async (t) => {
  const { sim, east } = pfsPair();
  sim.net.impair('CREATE_CHILD_SA response', { kind: 'drop' });
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'ike' });
  sim.run(sim.now + 300);
  const record = recordOf(east);
  const exchange = record.ike.active?.exchange;
  if (exchange?.kind !== 'rekey-ike') throw new Error('no exchange is under way');
  const secrets = [...Object.values(record.ike.keys), exchange.dh.privateValue];
  t.ok(secrets.every((secret) => secret instanceof SecretKey && !secret.wiped));
  t.notMatch(JSON.stringify(record.ike.keys) + JSON.stringify(exchange.dh), /\d,\d/);
  t.match(JSON.stringify(exchange.dh), /secret/);
  wipeRecord(record);
  t.ok(secrets.every((secret) => secret.wiped));
  t.match(another(east).adopt([record], sim.now).refused, [{ reason: 'the keys of the record were wiped' }]);
  t.equal(east.engine.export()[0]?.version, record.version, 'the engine has its own');
});

t.test('what cannot be carried on is refused, and says why', async (t) => {
  const { sim, east } = pfsPair();
  const record = recordOf(east);
  const refusal = (engine: Engine, changed: SaRecord): string | undefined =>
    engine.adopt([changed], sim.now).refused[0]?.reason;
  const engine = another(east);
  t.equal(refusal(engine, record), undefined);
  t.match(refusal(engine, record), /id \d+ is in use/);
  const renumbered: V2SaRecord = {
    ...record,
    ike: { ...record.ike, id: record.ike.id + 100 },
    children: [],
  };
  t.match(refusal(engine, renumbered), /the IKE SPI 0x[0-9a-f]{16} is in use/);
  const suite = { ...record.ike.suite, prf: 99 };
  t.match(refusal(another(east), { ...record, ike: { ...record.ike, suite } }), /prf algorithm 99/);
  const { ike: _, ...bare } = record;
  t.match(refusal(another(east), bare), /lacks what an IKEv2 SA has/);
  t.equal(engine.export().length, 1);
  t.match(engine.export()[0], { ike: { id: record.ike.id }, children: [{ id: record.children[0]?.id }] });
});

t.test('an SA that is being deleted is carried on until the peer has answered', async (t) => {
  const made = pfsPair();
  const { sim, east, west } = made;
  sim.net.impair('INFORMATIONAL request', { kind: 'drop' });
  sim.input(east, { kind: 'terminate', connection: 'site' });
  t.equal(recordOf(east).ike.phase.at, 'deleting');
  sim.handOver(east);
  t.ok(east.engine.closing);
  sim.run(sim.now + 20_000);
  for (const node of [east, west]) t.equal(node.ikes.size + node.children.size + node.childInfo.size, 0);
  t.notOk(east.engine.closing);
});

t.test(
  'an IV is used once under one key, also where another engine seals (RFC 5282 section 3.1)',
  async (t) => {
    const ikeProposals = [
      {
        encryption: [{ id: Encr.AES_GCM_16, keyBits: 128 }],
        integrity: [],
        prf: [Prf.HMAC_SHA2_256],
        dh: [Dh.CURVE25519],
      },
    ];
    const made = establishedPair({ east: { ikeProposals }, west: { ikeProposals } });
    const { sim, east, west } = made;
    for (const node of [east, west, east]) {
      sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
      sim.run(sim.now + 5000);
      sim.handOver(node);
    }
    sim.input(west, { kind: 'renew', connection: 'site', scope: 'children' });
    sim.run(sim.now + 5000);
    const seen = new Map<string, string>();
    let sealed = 0;
    for (const { from, bytes } of sim.net.sent) {
      if (bytes[18] === ExchangeType.IKE_SA_INIT) continue;
      // SPIs tell the keys, and the sender which of them; the IV is behind the headers of the message and of SK.
      const iv = [from.address, toHex(bytes.subarray(0, 16)), toHex(bytes.subarray(32, 40))].join();
      const text = toHex(bytes);
      t.equal(seen.get(iv) ?? text, text, `IV ${iv}`);
      seen.set(iv, text);
      sealed++;
    }
    t.ok(sealed >= 18, `${sealed} messages`);
  },
);
