import { deepStrictEqual } from 'node:assert/strict';
import t from 'tap';
import { concat, toHex, writeU32 } from '../../../src/util/bytes.js';
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
import {
  malformedMessages,
  mutate,
  recordedChains,
  recordedMessages,
  seededNumbers,
} from '../../helpers/ike-corpus.js';
import { skipWithoutVectors } from '../../helpers/vectors.js';

const options = { skip: skipWithoutVectors };
/** Damaged on its way: the header's next-payload field is 127 instead of SK, so the chain cannot end. */
const DAMAGED = 'more/vendors/vowifi-epdg-ikev2.jsonl:69';
const recorded = recordedMessages().filter((message) => message.majorVersion === 2);
const messages = recorded.filter(({ name }) => name !== DAMAGED);
const malformed = malformedMessages().filter((message) => message.majorVersion === 2);
const chains = recordedChains().filter((chain) => chain.first >= 33 || chain.first === 0);

/** Messages that a peer sent in a form that no encoder should produce. */
const NOT_CANONICAL: ReadonlyMap<string, string> = new Map([
  // All eight flag bits are set; five of them are reserved (RFC 7296 §3.1).
  ['vendors/vowifi-epdg-ikev2.jsonl', '2022ff'],
]);

function isCanonical(name: string, hex: string): boolean {
  const flags = NOT_CANONICAL.get(name.slice(0, name.lastIndexOf(':')));
  return flags === undefined || hex.slice(34, 40) !== flags;
}

t.test('every recorded IKEv2 message decodes and encodes to the same octets', options, async (t) => {
  t.ok(messages.length >= 650, `${messages.length} messages`);
  let exceptions = 0;
  for (const { name, bytes } of messages) {
    const decoded = decodeMessage(bytes);
    if (!decoded.ok) {
      t.fail(name, { error: decoded.error });
      continue;
    }
    const again = encodeMessage(decoded.value.header, decoded.value.payloads);
    if (isCanonical(name, toHex(bytes))) {
      if (toHex(again) !== toHex(bytes)) t.equal(toHex(again), toHex(bytes), name);
    } else {
      exceptions++;
      const cleared = Uint8Array.from(bytes);
      cleared[19] = bytes[19]! & 0x38;
      t.equal(toHex(again), toHex(cleared), `${name} but for reserved flags`);
    }
  }
  t.equal(exceptions, 1, 'messages that are not canonical');
  for (const { bytes } of recorded.filter(({ name }) => name === DAMAGED)) {
    t.match(decodeMessage(bytes), { ok: false, error: { code: 'truncated', offset: bytes.length } });
  }
});

t.test('every decrypted chain decodes and encodes to the same octets', options, async (t) => {
  t.ok(chains.length >= 25, `${chains.length} chains`);
  for (const { name, first, bytes } of chains) {
    const decoded = decodePayloads(first, bytes, 0);
    if (!decoded.ok) {
      t.fail(name, { error: decoded.error });
      continue;
    }
    const again = encodePayloads(decoded.value);
    t.equal(again.first, first, name);
    t.equal(toHex(again.bytes), toHex(bytes), name);
  }
});

t.test('a sealed message is its prefix and its body', options, async (t) => {
  let seen = 0;
  for (const { name, bytes } of messages) {
    const decoded = decodeMessage(bytes);
    if (!decoded.ok || !isCanonical(name, toHex(bytes))) continue;
    const { header, payloads } = decoded.value;
    const last = payloads[0];
    if (payloads.length !== 1 || (last?.kind !== 'sk' && last?.kind !== 'skf')) continue;
    // One old peer sends SK with the critical bit; the engine never does (RFC 7296 §2.5).
    if (last.critical === true) continue;
    seen++;
    const fragment = last.kind === 'skf' ? { fragment: last.fragment, total: last.total } : undefined;
    const prefix = sealedMessagePrefix(header, last.kind, last.first, last.body.length, fragment);
    deepStrictEqual(prefix.length, last.offset, name);
    deepStrictEqual(toHex(concat(prefix, last.body)), toHex(bytes), name);
    deepStrictEqual(toHex(bytes.subarray(last.offset)), toHex(last.body), name);
  }
  t.ok(seen > 300, `${seen} sealed messages`);
});

t.test('a message cut at any octet is an error, whatever its length field says', options, async (t) => {
  let cuts = 0;
  for (const { name, bytes } of messages) {
    for (let cut = 0; cut < bytes.length; cut++) {
      const whole = bytes.subarray(0, cut);
      const plain = decodeMessage(whole);
      const header = decodeHeader(whole);
      if (plain.ok || plain.error.code !== 'truncated' || header.ok) t.fail(`${name} cut at ${cut}`);
      if (cut < 28) continue;
      const patched = Uint8Array.from(whole);
      writeU32(patched, 24, cut);
      const decoded = decodeMessage(patched);
      if (decoded.ok) t.fail(`${name} cut at ${cut} with its length field adapted`);
      else if (decoded.error.offset > cut) t.fail(`${name} cut at ${cut}: offset ${decoded.error.offset}`);
      cuts++;
    }
  }
  t.ok(cuts > 100_000, `${cuts} cuts`);
});

t.test('a decrypted chain cut at any octet is an error', options, async (t) => {
  let cuts = 0;
  for (const { name, first, bytes } of chains) {
    for (let cut = 0; cut < bytes.length; cut++) {
      const decoded = decodePayloads(first, bytes.subarray(0, cut), 44);
      if (decoded.ok) t.fail(`${name} cut at ${cut}`);
      else if (decoded.error.offset < 44 || decoded.error.offset > 44 + cut) t.fail(`${name}: offset`);
      cuts++;
    }
    const longer = decodePayloads(first, concat(bytes, Uint8Array.of(0)), 0);
    t.equal(!longer.ok && longer.error.code, 'trailing_octets', `${name} with an octet behind it`);
  }
  t.ok(cuts > 3_000, `${cuts} cuts`);
});

t.test('messages of other test suites and fuzzers', options, async (t) => {
  const outcomes = new Map<string, string>();
  for (const { name, bytes } of malformed) {
    const decoded = decodeMessage(bytes);
    if (decoded.ok) {
      const again = encodeMessage(decoded.value.header, decoded.value.payloads);
      t.equal(toHex(again), toHex(bytes), `${name} is well-formed`);
    } else {
      outcomes.set(name.replace('malformed/', ''), `${decoded.error.code} ${decoded.error.offset}`);
    }
  }
  t.same(Object.fromEntries(outcomes), {
    // Only a header, or a message cut or continued by the test it comes from: the length field disagrees.
    'ike-from-test-suites.jsonl:3': 'truncated 24',
    'ike-from-test-suites.jsonl:4': 'truncated 24',
    'ike-from-test-suites.jsonl:43': 'truncated 24',
    'ike-from-test-suites.jsonl:44': 'trailing_octets 336',
    'ike-from-test-suites.jsonl:55': 'trailing_octets 248',
    'more/ike-from-test-suites.jsonl:23': 'truncated 24',
    'more/ike-from-test-suites.jsonl:24': 'truncated 24',
    'more/ike-from-test-suites.jsonl:25': 'truncated 24',
    'more/ike-malformed.jsonl:3': 'truncated 24',
    'more/ike-malformed.jsonl:4': 'truncated 24',
    // The chain ends before the message does.
    'ike-malformed.jsonl:14': 'trailing_octets 28',
    'ike-malformed.jsonl:15': 'trailing_octets 72',
    'ike-malformed.jsonl:16': 'trailing_octets 208',
    'ike-malformed.jsonl:30': 'trailing_octets 56',
    'ike-malformed.jsonl:31': 'trailing_octets 300',
    'more/ike-malformed.jsonl:11': 'trailing_octets 72',
    'more/ike-malformed.jsonl:12': 'trailing_octets 208',
    // A DELETE of the IKE SA with an SPI (RFC 7296 §3.11), a last-transform flag of 46, an EAP length.
    'ike-malformed.jsonl:33': 'bad_length 33',
    'more/ike-malformed.jsonl:2': 'bad_value 56',
    'more/ike-malformed.jsonl:25': 'bad_length 43',
  });
});

/** Records in a decoded chain, to hold against the octets they came from. */
function countRecords(payloads: readonly Payload[]): number {
  let count = 0;
  for (const payload of payloads) {
    count++;
    if (payload.kind === 'sa') {
      for (const { transforms } of payload.proposals) {
        count += 1 + transforms.length;
        for (const { attributes } of transforms) count += attributes?.length ?? 0;
      }
    } else if (payload.kind === 'tsi' || payload.kind === 'tsr') count += payload.selectors.length;
    else if (payload.kind === 'cp') count += payload.attributes.length;
    else if (payload.kind === 'delete') count += payload.spis.length;
  }
  return count;
}

t.test('mutations of messages neither throw nor lie about where they broke', options, async (t) => {
  const next = seededNumbers(20_241_107);
  let accepted = 0;
  let refused = 0;
  for (const { name, bytes } of [...messages, ...malformed]) {
    for (let i = 0; i < 40; i++) {
      const mutant = mutate(bytes, next);
      // Most mutants get a right length field, or the header's check would hide all others.
      if (mutant.length >= 28 && next(8) !== 0) writeU32(mutant, 24, mutant.length);
      const decoded = decodeMessage(mutant);
      if (dissect(mutant).length > 12 * mutant.length + 4000) t.fail(`dissection of ${name} is too long`);
      if (!decoded.ok) {
        refused++;
        const { offset, context, message, code, payloadType } = decoded.error;
        if (offset < 0 || offset > mutant.length || context === '' || message === '') {
          t.fail(`${name}: ${toHex(mutant)}`, { error: decoded.error });
        }
        if ((code === 'unsupported_critical_payload') !== (payloadType !== undefined)) t.fail(name);
        continue;
      }
      accepted++;
      const { header, payloads } = decoded.value;
      if (payloads.length > LIMITS.payloads || countRecords(payloads) > mutant.length / 4) t.fail(name);
      const again = encodeMessage(header, payloads);
      const twice = decodeMessage(again);
      if (!twice.ok) t.fail(`${name}: an accepted mutant is refused when encoded again: ${toHex(mutant)}`);
      else deepStrictEqual(twice.value, decoded.value, name);
      summarize(decoded.value);
    }
  }
  t.ok(refused > 10_000 && accepted > 500, `${refused} refused, ${accepted} accepted`);
});

t.test('mutations of decrypted chains', options, async (t) => {
  const next = seededNumbers(4711);
  let accepted = 0;
  for (const { name, first, bytes } of chains) {
    for (let i = 0; i < 400; i++) {
      const mutant = mutate(bytes, next);
      const decoded = decodePayloads(first, mutant, 0);
      if (!decoded.ok) {
        if (decoded.error.offset > mutant.length) t.fail(name, { error: decoded.error });
        continue;
      }
      accepted++;
      const twice = decodePayloads(first, encodePayloads(decoded.value).bytes, 0);
      if (!twice.ok) t.fail(`${name}: ${toHex(mutant)}`);
      else deepStrictEqual(twice.value, decoded.value, name);
    }
  }
  t.ok(accepted > 100, `${accepted} accepted`);
});
