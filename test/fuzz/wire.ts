import { equalBytes, toHex } from '../../src/util/bytes.js';
import type { WireError } from '../../src/wire/error.js';
import { classifyPort4500, readEspHeader } from '../../src/wire/esp.js';
import { isIcmpError, mayAnswerTooBig } from '../../src/wire/icmp.js';
import { describeWireError, dissect, summarize } from '../../src/wire/ike/dissect.js';
import { decodeMessage, decodePayloads, encodeMessage, encodePayloads } from '../../src/wire/ike/message.js';
import {
  decodeV1Message,
  decodeV1Payloads,
  encodeV1Message,
  encodeV1Payloads,
  encodeV1Sealed,
} from '../../src/wire/ike/v1/message.js';
import type { V1Message } from '../../src/wire/ike/v1/payloads.js';
import { createPacketView, readPacket } from '../../src/wire/ip.js';
import { tcpHeaderLength } from '../../src/wire/tcp.js';
import { establishedPair } from '../helpers/engine-pair.js';
import { innerPacket } from '../helpers/esp.js';
import { malformedMessages, mutate, recordedChains, recordedMessages } from '../helpers/ike-corpus.js';
import { messagesOfLife, SHORT_LIVES } from '../helpers/message-rain.js';
import type { SeededRandom } from '../helpers/seeded-random.js';
import { establishedV1 } from '../helpers/v1-pair.js';
import { udpDataLength } from '../helpers/whole-packets.js';
import { type FuzzPart, hold, pick } from './part.js';

const MUTATIONS = 200;

/** Our own messages, and what others have sent where the vectors are. Made when it is first wanted. */
let corpus: readonly Uint8Array[] | undefined;
let chains: readonly { readonly first: number; readonly bytes: Uint8Array }[] | undefined;

function samples(): readonly Uint8Array[] {
  corpus ??= [
    ...messagesOfLife(establishedPair({ east: SHORT_LIVES })),
    ...messagesOfLife(establishedV1({ east: SHORT_LIVES })),
    ...recordedMessages(),
    ...malformedMessages(),
  ].map(({ bytes }) => bytes);
  return corpus;
}

const PACKETS: readonly Uint8Array[] = [
  innerPacket('10.1.0.1', '10.2.0.1', 120),
  innerPacket('10.1.0.1', '10.2.0.1', 30),
  innerPacket('2001:db8:1::1', '2001:db8:2::1', 130),
  innerPacket('2001:db8:1::1', '2001:db8:2::1', 41),
];

/** What was decoded and encoded must decode to what encodes to the same again. */
function judgeEncoding<T>(
  value: T,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => { readonly ok: boolean; readonly value?: T },
  what: string,
): void {
  const encoded = encode(value);
  const again = decode(encoded);
  hold(again.ok, `${what}: what was encoded cannot be decoded: ${toHex(encoded)}`);
  hold(equalBytes(encode(again.value!), encoded), `${what}: it changed on the way: ${toHex(encoded)}`);
}

function judgeError({ offset, ...error }: WireError, bytes: Uint8Array): void {
  hold(offset >= 0 && offset <= bytes.length, 'an error beyond the datagram');
  hold(describeWireError({ offset, ...error }).length > 0, 'an error without words');
}

function judgeIke(bytes: Uint8Array): void {
  const two = decodeMessage(bytes);
  if (two.ok) {
    hold(summarize(two.value).length > 0, 'an empty summary');
    judgeEncoding(two.value, (m) => encodeMessage(m.header, m.payloads), decodeMessage, 'IKEv2');
  } else judgeError(two.error, bytes);
  const one = decodeV1Message(bytes);
  if (one.ok) judgeEncoding(one.value, encodeV1, decodeV1Message, 'IKEv1');
  else judgeError(one.error, bytes);
  hold(dissect(bytes).length > 0, 'an empty dissection');
}

function encodeV1({ header, payloads, sealed }: V1Message): Uint8Array {
  return sealed === undefined
    ? encodeV1Message(header, payloads)
    : encodeV1Sealed(header, sealed.first, sealed.body);
}

function judgeChain(first: number, bytes: Uint8Array): void {
  const two = decodePayloads(first, bytes, 0);
  if (two.ok) {
    const encoded = encodePayloads(two.value);
    const decode = (octets: Uint8Array) => decodePayloads(encoded.first, octets, 0);
    judgeEncoding(two.value, (payloads) => encodePayloads(payloads).bytes, decode, 'a chain of IKEv2');
  }
  const one = decodeV1Payloads(first, bytes, 0);
  if (!one.ok) return;
  hold(one.value.length <= bytes.length, 'a chain of IKEv1 longer than its octets');
  const encoded = encodeV1Payloads(one.value.payloads);
  const again = decodeV1Payloads(encoded.first, encoded.bytes, 0);
  hold(again.ok, 'a chain of IKEv1: what was encoded cannot be decoded');
  const twice = encodeV1Payloads(again.value.payloads);
  hold(equalBytes(twice.bytes, encoded.bytes), 'a chain of IKEv1 changed on the way');
}

const view = createPacketView();

function judgePacket(bytes: Uint8Array): void {
  classifyPort4500(bytes, 0, bytes.length);
  readEspHeader(bytes, 0, bytes.length);
  if (!readPacket(bytes, 0, bytes.length, view)) return;
  hold(view.totalLength <= bytes.length, 'a packet longer than its octets');
  hold(tcpHeaderLength(view) <= view.totalLength, 'a TCP header longer than its packet');
  hold(udpDataLength(view) <= view.totalLength, 'a datagram longer than its packet');
  isIcmpError(view);
  mayAnswerTooBig(view);
}

function run(random: SeededRandom): number {
  chains ??= recordedChains();
  const next = (below: number): number => random.below(below);
  for (let n = 0; n < MUTATIONS; n++) {
    judgeIke(mutate(pick(random, samples()), next));
    if (chains.length > 0) {
      const { first, bytes } = pick(random, chains);
      judgeChain(random.below(4) === 0 ? random.below(60) : first, mutate(bytes, next));
    }
    judgeChain(random.below(60), random.bytes(random.below(80)));
    judgePacket(mutate(pick(random, PACKETS), next));
  }
  return 4 * MUTATIONS;
}

/** Parsers and dissectors of both IKE versions and of packets, and that encoding is the reverse of decoding. */
export const wirePart: FuzzPart = { name: 'wire', run };
