import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { writeU32 } from '../../../src/util/bytes.js';
import { dissect, summarize } from '../../../src/wire/ike/dissect.js';
import {
  decodeHeader,
  decodeMessage,
  decodePayloads,
  encodeMessage,
  encodePayloads,
  LIMITS,
  sealedMessagePrefix,
} from '../../../src/wire/ike/message.js';
import type { Payload } from '../../../src/wire/ike/payloads.js';
import { decodeV1Payloads, encodeV1Payloads } from '../../../src/wire/ike/v1/message.js';
import { anyHeader, anyPayload } from '../../helpers/arbitrary-payloads.js';
import { must } from '../../helpers/results.js';

const anyChain = fc.array(anyPayload, { maxLength: 12 });

t.test('decoding is the inverse of encoding', async () => {
  fc.assert(
    fc.property(anyHeader, anyChain, (header, payloads) => {
      const bytes = encodeMessage(header, payloads);
      const decoded = must(decodeMessage(bytes));
      deepStrictEqual(decoded, { header, payloads });
      const { nextPayload, length, ...fields } = must(decodeHeader(bytes));
      deepStrictEqual(fields, header);
      deepStrictEqual(length, bytes.length);
      deepStrictEqual(nextPayload, encodePayloads(payloads).first);
    }),
    { numRuns: 800, seed: 1 },
  );
});

t.test('chains: encoded, decoded, dissected, cut', async () => {
  fc.assert(
    fc.property(anyHeader, anyChain, fc.nat(), (header, payloads, n) => {
      const { first, bytes } = encodePayloads(payloads);
      const decoded = must(decodePayloads(first, bytes, 60));
      deepStrictEqual(decoded, payloads);
      summarize(header, payloads);
      dissect({ header, payloads });
      if (bytes.length > 0) {
        const cut = decodePayloads(first, bytes.subarray(0, n % bytes.length), 60);
        deepStrictEqual(cut.ok, false);
      }
    }),
    { numRuns: 800, seed: 2 },
  );
});

t.test('sealed payloads stand last and keep what is in front of them', async () => {
  const sealed = fc.oneof(
    fc.record({ kind: fc.constant('sk' as const), first: fc.nat(255), body: fc.uint8Array() }),
    fc
      .record({
        kind: fc.constant('skf' as const),
        first: fc.nat(255),
        fragment: fc.integer({ min: 1, max: 0xffff }),
        total: fc.integer({ min: 1, max: 0xffff }),
        body: fc.uint8Array(),
      })
      .map((f) => ({ ...f, total: Math.max(f.total, f.fragment) })),
  );
  fc.assert(
    fc.property(anyHeader, fc.array(anyPayload, { maxLength: 2 }), sealed, (header, clear, last) => {
      const bytes = encodeMessage(header, [...clear, { ...last, offset: 0 }]);
      const decoded = must(decodeMessage(bytes));
      const offset = bytes.length - last.body.length;
      deepStrictEqual(decoded.payloads, [...clear, { ...last, offset }]);
      if (clear.length === 0) {
        const prefix = sealedMessagePrefix(
          header,
          last.kind,
          last.first,
          last.body.length,
          last.kind === 'skf' ? last : undefined,
        );
        deepStrictEqual(prefix, bytes.slice(0, offset));
      }
      const longer = new Uint8Array(bytes.length + 1);
      longer.set(bytes);
      writeU32(longer, 24, longer.length);
      const trailing = decodeMessage(longer);
      deepStrictEqual(!trailing.ok && trailing.error.code, 'trailing_octets');
    }),
    { numRuns: 300, seed: 3 },
  );
});

t.test('random octets behind a header never throw', async () => {
  fc.assert(
    fc.property(fc.nat(255), fc.uint8Array({ maxLength: 300 }), (first, bytes) => {
      const decoded = decodePayloads(first, bytes, 0);
      if (decoded.ok && decoded.value.length > LIMITS.payloads) throw new Error('too many');
      if (!decoded.ok && decoded.error.offset > bytes.length) throw new Error('offset outside');
      dissect(bytes);
    }),
    { numRuns: 3000, seed: 4 },
  );
});

t.test('the bounds of LIMITS', async (t) => {
  const vendor: Payload = { kind: 'vendor', data: new Uint8Array(0) };
  const chain = (count: number) => encodePayloads(new Array<Payload>(count).fill(vendor));
  const most = chain(LIMITS.payloads);
  t.ok(decodePayloads(most.first, most.bytes, 0).ok);
  const more = chain(LIMITS.payloads + 1);
  const refused = decodePayloads(more.first, more.bytes, 0);
  t.equal(!refused.ok && refused.error.code, 'too_many');

  const code = (payload: Payload): string => {
    const { first, bytes } = encodePayloads([payload]);
    const decoded = decodePayloads(first, bytes, 0);
    return decoded.ok ? 'ok' : decoded.error.code;
  };
  const transform = { type: 1, id: 12 };
  const proposal = { number: 1, protocol: 1, spi: new Uint8Array(0), transforms: [transform] };
  const proposals = (n: number): Payload => ({ kind: 'sa', proposals: new Array(n).fill(proposal) });
  t.equal(code(proposals(LIMITS.proposals)), 'ok');
  t.equal(code(proposals(LIMITS.proposals + 1)), 'too_many');
  const transforms = (n: number): Payload => ({
    kind: 'sa',
    proposals: [{ ...proposal, transforms: new Array(n).fill(transform) }],
  });
  t.equal(code(transforms(LIMITS.transforms)), 'ok');
  t.equal(code(transforms(LIMITS.transforms + 1)), 'too_many');
  const attributes = (n: number): Payload => ({
    kind: 'sa',
    proposals: [
      { ...proposal, transforms: [{ ...transform, attributes: new Array(n).fill({ type: 1, value: 2 }) }] },
    ],
  });
  t.equal(code(attributes(LIMITS.attributes)), 'ok');
  t.equal(code(attributes(LIMITS.attributes + 1)), 'too_many');
  const spis = (n: number): Payload => ({
    kind: 'delete',
    protocol: 3,
    spis: new Array(n).fill(new Uint8Array(4)),
  });
  t.equal(code(spis(LIMITS.spis)), 'ok');
  t.equal(code(spis(LIMITS.spis + 1)), 'too_many');
  const config = (n: number): Payload => ({
    kind: 'cp',
    cfgType: 1,
    attributes: new Array(n).fill({ type: 1, value: new Uint8Array(0) }),
  });
  t.equal(code(config(LIMITS.configAttributes)), 'ok');
  t.equal(code(config(LIMITS.configAttributes + 1)), 'too_many');
});

t.test('the bounds of one SA payload, by their numbers, in both versions', async (t) => {
  const outcome = (decoded: { readonly ok: boolean; readonly error?: { readonly code: string } }): string =>
    decoded.ok ? 'ok' : decoded.error!.code;
  const v2 = (shares: readonly number[]): string => {
    const transforms = (n: number) => new Array(n).fill({ type: 1, id: 12 });
    const spi = new Uint8Array(0);
    const proposals = shares.map((n, i) => ({ number: i + 1, protocol: 1, spi, transforms: transforms(n) }));
    const { first, bytes } = encodePayloads([{ kind: 'sa', proposals }]);
    return outcome(decodePayloads(first, bytes, 0));
  };
  const v1 = (shares: readonly number[]): string => {
    const transforms = (n: number) =>
      Array.from({ length: n }, (_, i) => ({ number: i + 1, id: 1, attributes: [] }));
    const spi = new Uint8Array(0);
    const proposals = shares.map((n, i) => ({ number: i + 1, protocol: 1, spi, transforms: transforms(n) }));
    const { first, bytes } = encodeV1Payloads([{ kind: 'sa', proposals }]);
    return outcome(decodeV1Payloads(first, bytes, 0));
  };
  for (const [version, code] of [
    [2, v2],
    [1, v1],
  ] as const) {
    t.equal(code(new Array(32).fill(1)), 'ok', `IKEv${version}: 32 proposals`);
    t.equal(code(new Array(33).fill(1)), 'too_many', `IKEv${version}: 33 proposals`);
    t.equal(code([128, 100, 28]), 'ok', `IKEv${version}: 256 transforms in three proposals`);
    t.equal(code([128, 100, 29]), 'too_many', `IKEv${version}: 257 transforms in three proposals`);
  }
});
