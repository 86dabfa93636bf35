/*
 * How hard a pre-shared key is to guess. An attacker who answers in place of a peer, and with IKEv1 one who only
 * records traffic, can try keys offline (RFC 7296 §2.15 and §5; CVE-2018-5389): the key needs as much unpredictability
 * as the ciphers that it keys. Works on octets and makes no text of a key.
 */

/** Bits below which a key can be found by trying: what 13 random characters of the permitted alphabet have. */
const ENOUGH_BITS = 80;
/** Bits that a word of everyday language adds: one of four thousand. */
const WORD_BITS = 12;
const MAX_WORD = 8;
const MIN_WORD = 4;
/** Of the pairs of letters in a word that are common ones. */
const COMMON_SHARE = 0.8;
/** Bits of a further character in a run such as `aaaa`, `4321` or `abcd`. */
const RUN_BITS = 0.5;

/** The pairs of letters that English and its neighbours are made of: a third of all, nine tenths of those in words. */
const COMMON_PAIRS = new Set(
  `th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa si ar ve ra ld ur
  me ne ni wa li ll co ri io ic ch ro ma om us ca ec el ce pe la ta no ho di em ac fo be ge ss ee us tr wh so un lo we
  pr wi ut ad ol sh ot ow id wo do ai su po im ke mo ns ts ay ie ly ir rs ul il ct rt bl pa am ab ag vi ki op ev mi bo
  fi fe gr pl sp ck ry ty ey ff nc qu rd sw sm sn sk cr cl br dr fr gl sc oo ru bu mu du cu lu ju ja je jo up ub ud ug
  um av ap ak ig ip iv iz ex ax ox ft lt mp nk rk rm rn rl rc ga go gi gu ba bi by ny my nn tt pp rr dd mm gg bb sl wn
  ws ys ds ks ph xi ze zo yo ye ya ua ue ui uo eo ao oa oi`
    .trim()
    .split(/\s+/)
    .map((pair) => pairCode(pair.charCodeAt(0), pair.charCodeAt(1))),
);

/** Why a key is easy to guess: what an advisory says after "the pre-shared key". Undefined for one that is not. */
export function pskWeakness(key: Uint8Array): string | undefined {
  const period = periodOf(key);
  const part = key.subarray(0, period);
  const { bits, words } = estimate(part);
  if (bits >= ENOUGH_BITS) return undefined;
  if (period < key.length) return 'repeats itself';
  if (words > 0) return 'is made of words';
  return new Set(key).size * 3 < key.length
    ? 'has few different characters'
    : 'is short or follows a pattern';
}

/** The sentence of the advisory `weak_psk`, without the beginning that names the connection. */
export function weakPskMessage(key: Uint8Array): string | undefined {
  const why = pskWeakness(key);
  return why === undefined
    ? undefined
    : `The pre-shared key ${why}: who answers in place of a peer can find it by trying; make one with "culvert psk" and enter it at both ends.`;
}

/** Octets after which the key begins again; its length when it does not. */
function periodOf(key: Uint8Array): number {
  for (let period = 1; period <= key.length / 2; period++) {
    if (key.every((octet, at) => octet === key[at % period])) return period;
  }
  return key.length;
}

function estimate(key: Uint8Array): { readonly bits: number; readonly words: number } {
  const each = Math.log2(Math.min(poolOf(key), new Set(key).size ** 2));
  let bits = 0;
  let words = 0;
  for (let at = 0; at < key.length; ) {
    const end = lettersFrom(key, at);
    if (isWord(key, at, end)) {
      const count = Math.ceil((end - at) / MAX_WORD);
      bits += Math.min(WORD_BITS * count, each * (end - at));
      words += count;
      at = end;
      continue;
    }
    for (const stop = Math.max(end, at + 1); at < stop; at++) bits += isRun(key, at) ? RUN_BITS : each;
  }
  return { bits, words };
}

/** Number of characters among which each one seems to have been chosen. */
function poolOf(key: Uint8Array): number {
  const has = (test: (octet: number) => boolean): boolean => key.some(test);
  if (has((octet) => octet < 0x20 || octet > 0x7e)) return 256;
  const lower = has(isLower);
  const upper = has((octet) => isLetter(octet) && !isLower(octet));
  const digits = has(isDigit);
  const others = has((octet) => !isDigit(octet) && !isLetter(octet));
  if (digits && lower !== upper && !others && key.every(isHex)) return 16;
  return (lower ? 26 : 0) + (upper ? 26 : 0) + (digits ? 10 : 0) + (others ? 19 : 0);
}

/** The third or further character of a row in which each differs from the one before by the same step of 0, 1 or -1. */
function isRun(key: Uint8Array, at: number): boolean {
  if (at < 2) return false;
  const step = key[at]! - key[at - 1]!;
  return Math.abs(step) <= 1 && step === key[at - 1]! - key[at - 2]!;
}

function lettersFrom(key: Uint8Array, start: number): number {
  let end = start;
  while (end < key.length && isLetter(key[end]!)) end++;
  return end;
}

function isWord(key: Uint8Array, start: number, end: number): boolean {
  const pairs = end - start - 1;
  if (pairs + 1 < MIN_WORD) return false;
  // `word`, `Word` or `WORD`: letters of mixed case are of no word.
  const lower = isLower(key[end - 1]!);
  if (!key.subarray(start + 1, end).every((octet) => isLower(octet) === lower)) return false;
  let common = 0;
  for (let at = start; at < end - 1; at++) {
    if (COMMON_PAIRS.has(pairCode(key[at]! | 0x20, key[at + 1]! | 0x20))) common++;
  }
  return common >= COMMON_SHARE * pairs;
}

function pairCode(first: number, second: number): number {
  return first * 256 + second;
}

function isLetter(octet: number): boolean {
  return (octet | 0x20) >= 0x61 && (octet | 0x20) <= 0x7a;
}

function isLower(octet: number): boolean {
  return octet >= 0x61 && octet <= 0x7a;
}

function isDigit(octet: number): boolean {
  return octet >= 0x30 && octet <= 0x39;
}

function isHex(octet: number): boolean {
  return isDigit(octet) || ((octet | 0x20) >= 0x61 && (octet | 0x20) <= 0x66);
}
