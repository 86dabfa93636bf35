import { createHash, randomBytes, randomInt, randomUUID } from 'node:crypto';
import { hashedId } from '../store/hashed-id.js';
import type { Dialect } from './dialect.js';

/** A new id: a bare UUID for clients of 2019, with the prefix of its region or zone since. */
export function newId(prefix: 'r006' | '0717', dialect: Dialect): string {
  return dialect.early ? randomUUID() : `${prefix}-${randomUUID()}`;
}

const WORDS =
  `acorn amber anchor apple arrow aspen atlas autumn badger bamboo basil beacon birch bison blossom bramble
  breeze bridge bronze brook candle canyon cedar chalk cherry cinder clover cobalt comet copper coral cotton
  cricket crystal dahlia dawn delta drift ember fable falcon feather fennel fern field finch flint forest
  frost garnet ginger glacier grove harbor hazel heron hollow indigo island ivory jasmine juniper kestrel
  lagoon lantern larch laurel lemon lilac linden lotus lunar magnet maple marble meadow mellow mint mosaic
  nectar nutmeg oak ocean olive onyx orchid osprey otter pebble pepper pine plum poplar prairie quartz quill
  rapid raven reed ripple river robin rowan saffron sage sienna silver slate sparrow spruce stone summit
  sunset tango thistle tidal timber topaz tulip tundra umber valley velvet violet walnut willow winter zephyr`
    .trim()
    .split(/\s+/);

/** A name for what was given none: hyphenated words that no object of `taken` has. */
export function newName(taken: ReadonlySet<string>): string {
  for (let words = 4; ; words++) {
    const name = Array.from({ length: words }, () => WORDS[randomInt(WORDS.length)]!).join('-');
    if (name.length <= 63 && !taken.has(name)) return name;
    if (words > 6) return `gateway-${randomBytes(8).toString('hex')}`;
  }
}

/** A name in the same words for the same text, for what has not been given a name yet. */
export function nameFrom(text: string): string {
  const hash = createHash('sha256').update(text).digest();
  return [0, 2, 4, 6].map((at) => WORDS[hash.readUInt16BE(at) % WORDS.length]!).join('-');
}

/** The weak tag of an object at a revision: another one after each change, the same on every server start. */
export function entityTag(id: string, revision: number): string {
  return `W/"${hashedId(`${id} ${revision}`)}"`;
}

/**
 * Whether an If-Match header contains the tag. Tags are compared weakly, since the service has no strong ones, and
 * `*` is any; text that is no list of tags matches nothing (RFC 9110 §13.1.1).
 */
export function tagMatches(header: string, tag: string): boolean {
  if (header.trim() === '*') return true;
  const opaque = tag.replace(/^W\//, '');
  return header.split(',').some((one) => one.trim().replace(/^W\//, '') === opaque);
}
