import t from 'tap';
import { proposalQuirks, selectEsp, selectIke } from '../../src/ike/policy/proposals.js';
import { concat } from '../../src/util/bytes.js';
import type { Proposal } from '../../src/wire/ike/payloads.js';
import { Dh, Encr, Esn, Prf, ProtocolId, TransformType } from '../../src/wire/ike/registry.js';
import { faults, pair, type SimNode } from '../helpers/engine-pair.js';
import { v1Pair } from '../helpers/v1-pair.js';

function quirks(node: SimNode): string[] {
  return node.eventsOf('quirk').map(({ code }) => code);
}

const CHACHA = { encryption: [{ id: Encr.CHACHA20_POLY1305, keyBits: 0 }], integrity: [] };

function chacha(protocol: number, spi: number, more: Proposal['transforms'], keyBits?: number): Proposal {
  const encr = {
    type: TransformType.ENCR,
    id: Encr.CHACHA20_POLY1305,
    ...(keyBits === undefined ? {} : { keyBits }),
  };
  return { number: 1, protocol, spi: new Uint8Array(spi).fill(7), transforms: [encr, ...more] };
}

t.test('up to three zero octets behind every message are no part of it', async (t) => {
  for (const make of [pair, v1Pair])
    for (const [zeros, comesUp] of [
      [1, true],
      [3, true],
      [4, false],
    ] as const) {
      const made = make();
      const change = (bytes: Uint8Array): Uint8Array => concat(bytes, new Uint8Array(zeros));
      made.sim.net.impair(() => true, { kind: 'corrupt', change }, 9999);
      made.sim.initiate(made.east);
      made.sim.run(5000);
      t.equal(faults(made) === undefined, comesUp, `${zeros} octets`);
      if (!comesUp) continue;
      for (const node of [made.east, made.west]) t.same(quirks(node), ['trailing_zeros'], node.name);
      made.sim.run(60_000);
      t.equal(quirks(made.east).length, 1, 'reported once');
    }
  const made = pair();
  const change = (bytes: Uint8Array): Uint8Array => concat(bytes, Uint8Array.of(1));
  made.sim.net.impair(() => true, { kind: 'corrupt', change }, 9999);
  made.sim.initiate(made.east);
  made.sim.run(5000);
  t.equal(made.east.ikes.size, 0, 'other octets are refused');
});

t.test('an IKEv1 message in the clear whose length counts the padding', async (t) => {
  const made = v1Pair();
  const change = (bytes: Uint8Array): Uint8Array => {
    const out = concat(bytes, new Uint8Array(3));
    new DataView(out.buffer).setUint32(24, out.length);
    return out;
  };
  const inClear = (packet: { bytes: Uint8Array }): boolean => ((packet.bytes[19] ?? 0) & 1) === 0;
  made.sim.net.impair(inClear, { kind: 'corrupt', change }, 9999);
  made.sim.initiate(made.east);
  made.sim.run(5000);
  t.equal(faults(made), undefined);
  t.same(quirks(made.east), ['trailing_zeros']);
});

t.test('an ESP proposal without ESN is taken as without, and answered alike', async (t) => {
  const proposal = chacha(ProtocolId.ESP, 4, []);
  const selection = selectEsp([{ ...CHACHA, dh: [] }], [proposal], false);
  t.ok(selection.ok);
  if (!selection.ok) return;
  t.equal(selection.value.suite.esn, false);
  t.notOk(selection.value.answer.transforms.some(({ type }) => type === TransformType.ESN));
  t.same(proposalQuirks([proposal], false), ['esp_without_esn']);
  const withEsn = chacha(ProtocolId.ESP, 4, [{ type: TransformType.ESN, id: Esn.YES }]);
  t.notOk(selectEsp([{ ...CHACHA, dh: [] }], [withEsn], false).ok, 'ESN itself is not spoken');
});

t.test('ChaCha20-Poly1305 with a key length of 256 is the same cipher, and answered with it', async (t) => {
  const esn = [{ type: TransformType.ESN, id: Esn.NO }];
  const offered = chacha(ProtocolId.ESP, 4, esn, 256);
  const selection = selectEsp([{ ...CHACHA, dh: [] }], [offered], false);
  t.ok(selection.ok);
  if (!selection.ok) return;
  t.same(selection.value.suite.encryption, { id: Encr.CHACHA20_POLY1305, keyBits: 0 });
  t.equal(selection.value.answer.transforms[0]!.keyBits, 256);
  t.same(proposalQuirks([offered], false), ['chacha20_key_length']);
  t.notOk(selectEsp([{ ...CHACHA, dh: [] }], [chacha(ProtocolId.ESP, 4, esn, 128)], false).ok);
});

t.test('an SPI in a first IKE proposal is not held against a peer', async (t) => {
  const rest = [
    { type: TransformType.PRF, id: Prf.HMAC_SHA2_256 },
    { type: TransformType.DH, id: Dh.MODP_2048 },
  ];
  const spec = { ...CHACHA, prf: [Prf.HMAC_SHA2_256], dh: [Dh.MODP_2048] };
  for (const length of [0, 4, 8]) {
    const offered = chacha(ProtocolId.IKE, length, rest);
    t.ok(selectIke([spec], [offered]).ok, `${length} octets`);
    t.same(proposalQuirks([offered], true), length === 0 ? [] : ['spi_in_first_proposal']);
    t.same(proposalQuirks([offered], false), [], 'a rekeying has one');
  }
});
