import { deepStrictEqual } from 'node:assert/strict';
import t from 'tap';
import { toHex, writeU32 } from '../../../../src/util/bytes.js';
import { dissect } from '../../../../src/wire/ike/dissect.js';
import {
  decodeV1Message,
  decodeV1Payloads,
  encodeV1Message,
  encodeV1Payloads,
  encodeV1Sealed,
} from '../../../../src/wire/ike/v1/message.js';
import type { V1Message } from '../../../../src/wire/ike/v1/payloads.js';
import { malformedMessages, mutate, recordedMessages, seededNumbers } from '../../../helpers/ike-corpus.js';
import { skipWithoutVectors } from '../../../helpers/vectors.js';

const options = { skip: skipWithoutVectors };
const messages = recordedMessages().filter(({ majorVersion }) => majorVersion === 1);
const malformed = malformedMessages().filter(({ majorVersion }) => majorVersion === 1);

function encode({ header, payloads, sealed }: V1Message): Uint8Array {
  return sealed === undefined
    ? encodeV1Message(header, payloads)
    : encodeV1Sealed(header, sealed.first, sealed.body);
}

t.test('every recorded IKEv1 message decodes and encodes to the same octets', options, async (t) => {
  t.ok(messages.length >= 120, `${messages.length} messages`);
  for (const { name, bytes } of messages) {
    const decoded = decodeV1Message(bytes);
    if (!decoded.ok) t.fail(name, { error: decoded.error });
    else if (toHex(encode(decoded.value)) !== toHex(bytes)) t.fail(`${name} differs`);
  }
});

t.test('every decrypted chain, with its padding and cut at any octet', options, async (t) => {
  let seen = 0;
  for (const { name, bytes, plaintext } of messages) {
    const message = decodeV1Message(bytes);
    if (plaintext === undefined || !message.ok || message.value.sealed === undefined) continue;
    seen++;
    const { first } = message.value.sealed;
    const decoded = decodeV1Payloads(first, plaintext.bytes, 28);
    if (!decoded.ok) {
      t.fail(name, { error: decoded.error });
      continue;
    }
    const { payloads, length } = decoded.value;
    t.equal(length, plaintext.payloadsLength, name);
    t.equal(toHex(encodeV1Payloads(payloads).bytes), toHex(plaintext.bytes.subarray(0, length)), name);
    for (let cut = 0; cut < length; cut++) {
      if (decodeV1Payloads(first, plaintext.bytes.subarray(0, cut), 28).ok) t.fail(`${name} cut at ${cut}`);
    }
  }
  t.ok(seen >= 20, `${seen} chains`);
});

t.test('a message in the clear cut at any octet is an error', options, async (t) => {
  let cuts = 0;
  for (const { name, bytes } of messages) {
    const whole = decodeV1Message(bytes);
    for (let cut = 0; cut < bytes.length; cut++) {
      if (decodeV1Message(bytes.subarray(0, cut)).ok) t.fail(`${name} cut at ${cut}`);
      if (cut < 28 || !whole.ok || whole.value.sealed !== undefined) continue;
      const patched = bytes.slice(0, cut);
      writeU32(patched, 24, cut);
      const decoded = decodeV1Message(patched);
      if (decoded.ok || decoded.error.offset > cut) t.fail(`${name} cut at ${cut}, length field adapted`);
      cuts++;
    }
  }
  t.ok(cuts > 10_000, `${cuts} cuts`);
});

t.test('messages of other test suites and fuzzers', options, async (t) => {
  const outcomes = new Map<string, string>();
  for (const { name, bytes } of malformed) {
    const decoded = decodeV1Message(bytes);
    if (decoded.ok) t.equal(toHex(encode(decoded.value)), toHex(bytes), `${name} is well-formed`);
    else outcomes.set(name.replace('malformed/', ''), `${decoded.error.code} ${decoded.error.offset}`);
  }
  t.same(Object.fromEntries(outcomes), {
    // The length field disagrees with the datagram.
    'ike-from-test-suites.jsonl:41': 'truncated 24',
    'ike-from-test-suites.jsonl:54': 'trailing_octets 84',
    'ike-from-test-suites.jsonl:56': 'truncated 24',
    'ike-malformed.jsonl:6': 'truncated 24',
    'ike-malformed.jsonl:7': 'truncated 24',
    'more/ike-from-test-suites.jsonl:31': 'trailing_octets 76',
    'more/ike-malformed.jsonl:5': 'truncated 24',
    'more/ike-malformed.jsonl:7': 'bad_length 24',
    // A payload shorter than its header, a labelled situation, substructures that do not end, rubbish.
    'ike-malformed.jsonl:10': 'bad_length 90',
    'ike-malformed.jsonl:11': 'bad_value 36',
    'ike-malformed.jsonl:13': 'bad_value 84',
    'more/ike-malformed.jsonl:16': 'bad_value 29',
    // An SA payload without proposals.
    'ike-malformed.jsonl:44': 'truncated 40',
    'ike-malformed.jsonl:46': 'truncated 40',
  });
});

t.test('mutations neither throw nor lie about where they broke', options, async (t) => {
  const next = seededNumbers(20_251_231);
  let accepted = 0;
  let refused = 0;
  for (const { name, bytes } of [...messages, ...malformed]) {
    for (let i = 0; i < 100; i++) {
      const mutant = mutate(bytes, next);
      if (mutant.length >= 28 && next(8) !== 0) writeU32(mutant, 24, mutant.length);
      const decoded = decodeV1Message(mutant);
      dissect(mutant);
      if (!decoded.ok) {
        refused++;
        if (decoded.error.offset > mutant.length)
          t.fail(`${name}: ${toHex(mutant)}`, { error: decoded.error });
        continue;
      }
      accepted++;
      const twice = decodeV1Message(encode(decoded.value));
      if (!twice.ok) t.fail(`${name}: an accepted mutant is refused when encoded again: ${toHex(mutant)}`);
      else deepStrictEqual(encode(twice.value), encode(decoded.value), name);
    }
  }
  for (const { name, bytes, plaintext } of messages) {
    const message = decodeV1Message(bytes);
    if (plaintext === undefined || !message.ok || message.value.sealed === undefined) continue;
    for (let i = 0; i < 100; i++) {
      const mutant = mutate(plaintext.bytes, next);
      const decoded = decodeV1Payloads(message.value.sealed.first, mutant, 0);
      if (decoded.ok ? decoded.value.length > mutant.length : decoded.error.offset > mutant.length)
        t.fail(name);
    }
  }
  t.ok(refused > 4_000 && accepted > 1_000, `${refused} refused, ${accepted} accepted`);
});
