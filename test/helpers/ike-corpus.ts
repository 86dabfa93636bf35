import { readdirSync } from 'node:fs';
import { fromHex } from '../../src/util/bytes.js';
import { readVectorLines, readVectors, vectorPath, vectorsPresent } from './vectors.js';

/** One recorded IKE message, and what was inside it when the keys are known. */
export interface RecordedMessage {
  /** File and number in it: names the message in test output. */
  readonly name: string;
  /** The message without non-ESP marker. */
  readonly bytes: Uint8Array;
  readonly majorVersion: number;
  /** Decrypted payloads without padding. */
  readonly inner?: { readonly first: number; readonly bytes: Uint8Array };
  /** IKEv1: decrypted text with padding, and how many octets of it are payloads. */
  readonly plaintext?: { readonly bytes: Uint8Array; readonly payloadsLength: number };
}

/** The fields of vector lines and cases that matter here. */
interface VectorEntry {
  readonly kind?: string;
  readonly hex?: string;
  readonly ike_message?: string;
  readonly first_inner_payload?: number;
  readonly inner_payloads?: string;
  readonly plaintext?: string;
  readonly payloads_length?: number;
}

interface VectorFile extends VectorEntry {
  readonly messages?: readonly VectorEntry[];
  readonly cases?: readonly VectorEntry[];
}

const SETS = ['', 'more/'];

/** Entries without a kind come from files that hold nothing but IKE. */
const IKE_KINDS: readonly (string | undefined)[] = [undefined, 'ike', 'ike-natt'];

function list(folder: string): string[] {
  try {
    return readdirSync(vectorPath(folder))
      .sort()
      .map((name) => `${folder}/${name}`);
  } catch {
    return [];
  }
}

function toMessage(name: string, entry: VectorEntry): RecordedMessage | undefined {
  const hex = entry.ike_message ?? entry.hex;
  if (hex === undefined || !IKE_KINDS.includes(entry.kind)) return undefined;
  let bytes = fromHex(hex);
  if (bytes.length >= 4 && bytes.subarray(0, 4).every((octet) => octet === 0)) bytes = bytes.subarray(4);
  const { first_inner_payload: first, inner_payloads: inner, plaintext, payloads_length: length } = entry;
  return {
    name,
    bytes,
    majorVersion: (bytes[17] ?? 0) >>> 4,
    ...(first !== undefined && inner !== undefined ? { inner: { first, bytes: fromHex(inner) } } : {}),
    ...(plaintext !== undefined && length !== undefined
      ? { plaintext: { bytes: fromHex(plaintext), payloadsLength: length } }
      : {}),
  };
}

function fromLines(folder: string): RecordedMessage[] {
  const files = SETS.flatMap((set) => list(set + folder)).filter((file) => file.endsWith('.jsonl'));
  return files.flatMap((file) =>
    readVectorLines<VectorEntry>(file).flatMap((line, i) => toMessage(`${file}:${i + 1}`, line) ?? []),
  );
}

/** IKE messages of both versions from recorded traffic: vendors, transcripts, Wireshark, tcpdump. */
export function recordedMessages(): RecordedMessage[] {
  if (!vectorsPresent) return [];
  const files = SETS.flatMap((set) =>
    ['wireshark', 'tcpdump-esp', 'transcripts'].flatMap((f) => list(set + f)),
  );
  const fromFiles = files
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => {
      const content = readVectors<VectorFile>(file);
      const entries = [...(content.messages ?? []), ...(content.cases ?? [])];
      return entries.flatMap((entry, i) => toMessage(`${file}:${i + 1}`, entry) ?? []);
    });
  return [...fromLines('vendors'), ...fromFiles];
}

/** Broken and odd messages of other projects' tests and fuzzers. */
export function malformedMessages(): RecordedMessage[] {
  return vectorsPresent ? fromLines('malformed') : [];
}

/** Chains of decrypted payloads with the type of the first one. */
export function recordedChains(): { name: string; first: number; bytes: Uint8Array }[] {
  const chains = recordedMessages().flatMap(({ name, inner }) =>
    inner === undefined ? [] : [{ name, ...inner }],
  );
  const ncp = SETS.map((set) => `${set}vendors/ncp-ikev2-decrypted.json`).filter((file) =>
    list(file.slice(0, file.lastIndexOf('/'))).includes(file),
  );
  for (const file of ncp) {
    for (const [i, entry] of (readVectors<VectorFile>(file).cases ?? []).entries()) {
      const { first_inner_payload: first, inner_payloads: inner } = entry;
      if (first !== undefined && inner !== undefined) {
        chains.push({ name: `${file}:${i + 1}`, first, bytes: fromHex(inner) });
      }
    }
  }
  return chains;
}

/** A small seeded generator (mulberry32): whole numbers from 0 to `below` - 1. */
export function seededNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

/** A copy of `bytes` with one to four random changes: octets, bits, 16-bit fields, cuts, doubled parts. */
export function mutate(bytes: Uint8Array, next: (below: number) => number): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let n = 1 + next(4); n > 0 && out.length > 0; n--) {
    const at = next(out.length);
    switch (next(6)) {
      case 0:
        out[at] = next(256);
        break;
      case 1:
        out[at] = out[at]! ^ (1 << next(8));
        break;
      case 2:
        out[at] = [0, 1, 0x7f, 0x80, 0xff][next(5)]!;
        if (at + 1 < out.length) out[at + 1] = [0, 3, 4, 8, 0xff][next(5)]!;
        break;
      case 3:
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1 + next(16))]);
        break;
      case 4: {
        const part = out.subarray(at, at + 1 + next(64));
        out = Uint8Array.from([...out.subarray(0, at), ...part, ...out.subarray(at)]);
        break;
      }
      default:
        out = out.slice(0, at);
    }
  }
  return out;
}
