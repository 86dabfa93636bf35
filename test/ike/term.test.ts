import t from 'tap';
import { Engine } from '../../src/ike/engine.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { type SaRecord, wipeRecord } from '../../src/ike/sa/record.js';
import { createProtection, LAST_SEALED } from '../../src/ike/v2/protect.js';
import { isV2Record, type V2SaRecord } from '../../src/ike/v2/record.js';
import { headerOf } from '../../src/ike/v2/send.js';
import { toHex } from '../../src/util/bytes.js';
import { SecretKey } from '../../src/util/secret.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import { Encr, ExchangeType, Prf } from '../../src/wire/ike/registry.js';
import { type ConnectionPatch, connection, EAST, establishedPair } from '../helpers/engine-pair.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';

const GCM = { id: Encr.AES_GCM_16, keyBits: 128 };
const AEAD: ConnectionPatch = {
  ikeProposals: [{ encryption: [GCM], integrity: [], prf: [Prf.HMAC_SHA2_256], dh: [14] }],
};
const crypto = createToyBackend();

/** IV of a protected message, or of one fragment of it. */
function ivOf(bytes: Uint8Array): string {
  const message = decodeMessage(bytes);
  const sealed = message.ok ? message.value.payloads.at(-1) : undefined;
  if (sealed?.kind !== 'sk' && sealed?.kind !== 'skf') throw new Error('not protected');
  return toHex(sealed.body.subarray(0, 8));
}

function engineIn(term: number, patch: ConnectionPatch = AEAD): Engine {
  return new Engine({
    crypto,
    random: new SeededRandom(9),
    limits: DEFAULT_LIMITS,
    config: { connections: [connection('east', patch)] },
    term,
  });
}

const key = (octet: number, length: number) => new SecretKey(new Uint8Array(length).fill(octet));
const header = headerOf(
  { role: 'initiator', initiatorSpi: new Uint8Array(8).fill(1), responderSpi: new Uint8Array(8).fill(2) },
  ExchangeType.INFORMATIONAL,
  7,
  false,
);

t.test('an AEAD IV is the term and a counter; without high availability the term is zero', async (t) => {
  const suite = { encryption: GCM, integrity: 0, prf: Prf.HMAC_SHA2_256, dh: 14 };
  const keys = {
    ...{ skD: key(1, 32), skEi: key(2, 20), skEr: key(3, 20) },
    ...{ skPi: key(4, 32), skPr: key(5, 32) },
  };
  const random = new SeededRandom(1);
  const make = (term?: number, sealed?: number) =>
    createProtection(
      { crypto, random, ...(term === undefined ? {} : { term }) },
      suite,
      keys,
      'initiator',
      sealed,
    );
  const plain = make();
  t.same(
    [1, 2].map(() => ivOf(plain.seal(header, []))),
    ['0000000000000001', '0000000000000002'],
  );
  const active = make(7);
  t.equal(ivOf(active.seal(header, [])), '0000000700000001');
  const pieces = active.sealWithin(header, [{ kind: 'vendor', data: new Uint8Array(900) }], 500);
  t.same(
    pieces.map(ivOf),
    ['0000000700000002', '0000000700000003', '0000000700000004'],
    'each fragment has its own',
  );
  t.equal(ivOf(make(0xfffffffe, 0x80000000).seal(header, [])), 'fffffffe80000001');

  const last = make(7, LAST_SEALED - 1);
  t.equal(ivOf(last.seal(header, [])), '00000007ffffffff');
  t.throws(() => last.seal(header, []), /no IV is left/, 'the counter does not reach into the term');
  t.equal(last.sealed, LAST_SEALED);
});

t.test('an engine seals in its term, and takes over from earlier ones only', async (t) => {
  for (const none of [-1, 1.5, 2 ** 32]) t.throws(() => engineIn(none), /use a whole number/);
  const { sim, east } = establishedPair({ east: AEAD, west: AEAD });
  const [record] = east.engine.export() as [SaRecord];
  t.equal(record.term, 0);
  if (!isV2Record(record)) throw new Error('not version 2');
  t.ok(record.ike.sealed > 0);
  const refusal = (term: number, before: number) =>
    engineIn(term).adopt([{ ...record, term: before }], sim.now).refused[0]?.reason;
  for (const [term, before] of [
    [0, 0],
    [1, 0],
    [8, 7],
    [0xffffffff, 7],
  ] as const)
    t.equal(refusal(term, before), undefined, `${term} after ${before}`);
  for (const [term, before] of [
    [0, 7],
    [6, 7],
    [7, 7],
  ] as const)
    t.match(refusal(term, before), /keys were used in term 7: term \d does not come after it/);

  const next = engineIn(8);
  const { outputs } = next.adopt([{ ...record, term: 7 }], sim.now);
  t.match(next.export(), [{ term: 8, ike: { sealed: 0 } }], 'another term has all its numbers left');
  outputs.push(...next.handle({ kind: 'renew', connection: 'site', scope: 'children' }, sim.now));
  const sent = outputs.flatMap((one) => (one.kind === 'send' ? [ivOf(one.bytes)] : []));
  t.same(sent, ['0000000800000001']);
  const same = engineIn(0);
  same.adopt([record], sim.now);
  t.match(
    same.export(),
    [{ term: 0, ike: { sealed: record.ike.sealed } }],
    'the only engine goes on exactly',
  );
  wipeRecord(record);
});

t.test('IVs are never used up: the SA is rekeyed in time, or ends', async (t) => {
  /** What becomes of an SA that has sealed so much. */
  const lives = (sealed: number, patch: ConnectionPatch = {}): string[] => {
    const { sim, east, west } = establishedPair({ east: AEAD, west: AEAD });
    const [record] = east.engine.export() as [V2SaRecord];
    east.engine = engineIn(7, { ...AEAD, ...patch });
    east.ikes.clear();
    east.childInfo.clear();
    // In the same term, as an engine that has sealed so much itself.
    const spent = { ...record, term: 0, ike: { ...record.ike, sealed } };
    east.engine = new Engine({
      ...{ crypto, random: new SeededRandom(3), limits: DEFAULT_LIMITS },
      config: { connections: [connection('east', { ...AEAD, ...patch })] },
    });
    for (const output of east.engine.adopt([spent], sim.now).outputs) east.apply(output);
    sim.run(sim.now + 60_000);
    return [...west.eventsOf('ike-closed'), ...east.eventsOf('ike-closed')].map(({ reason }) => reason);
  };
  t.same(lives(1000), [], 'far from it');
  t.same(lives(2 ** 31 + 5), ['rekeyed', 'rekeyed']);
  t.same(lives(2 ** 31 + 5, { establishMode: 'peer_only' }), [], 'the peer may still rekey it');
  t.same(lives(2 ** 32 - 2 ** 19, { establishMode: 'peer_only' }).sort(), ['expired', 'peer-deleted']);
});

t.test('connections whose SAs may have changed, for who copies them', async (t) => {
  const { sim, east, west } = establishedPair({ east: AEAD, west: AEAD });
  sim.initiate(east);
  t.same(east.engine.takeTouched(), [], 'nobody does without a term');
  t.equal(east.address, EAST);
  const records = east.engine.export();
  t.same(east.engine.exportConnection('other'), []);
  t.same(JSON.stringify(east.engine.exportConnection('site')), JSON.stringify(records));
  east.engine = engineIn(1);
  east.ikes.clear();
  east.childInfo.clear();
  for (const output of east.engine.adopt(records, sim.now).outputs) east.apply(output);
  t.same(east.engine.takeTouched(), ['site'], 'what is adopted');
  t.same(east.engine.takeTouched(), [], 'once');
  east.engine.nextDeadline();
  sim.input(east, { kind: 'timer' });
  t.same(east.engine.takeTouched(), [], 'not by nothing');
  sim.input(west, { kind: 'terminate', connection: 'site' });
  sim.run(sim.now + 1000);
  t.same(east.ikes.size, 0);
  t.same(east.engine.takeTouched(), ['site'], 'and what is gone');
});
