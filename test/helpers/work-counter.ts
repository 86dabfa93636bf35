/**
 * Counts work, so that no test has to measure time. Import this module in front of all others
 * (`import '../helpers/work-counter.js'` as the first line of the test): functions that ran before it was
 * evaluated have no counters for their loops.
 */
import { Session } from 'node:inspector';
import type { Cipher, CryptoBackend, DhExchange } from '../../src/crypto/types.js';

const session = new Session();
session.connect();
post('Profiler.enable');
post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** Steps of the code under src that an action took. A step is one run of a function or of a block, such as a loop's body. */
export interface Steps {
  readonly total: number;
  /** The same by file and function, the most expensive first: `src/ike/sa/table.ts due`. */
  readonly places: readonly (readonly [string, number])[];
}

interface Coverage {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly {
      readonly functionName: string;
      readonly ranges: readonly { readonly count: number }[];
    }[];
  }[];
}

/**
 * Runs an action and counts every function call and every block entered in src/ meanwhile, as the JavaScript
 * engine itself counts them for coverage: nothing in the code can be forgotten. What is native (copying octets,
 * map lookups) does not count, nor do test helpers.
 */
export function stepsOf(action: () => void): Steps {
  // Taking the counters sets them to zero.
  post('Profiler.takePreciseCoverage');
  action();
  const { result } = post('Profiler.takePreciseCoverage') as Coverage;
  const places = new Map<string, number>();
  for (const { url, functions } of result) {
    const file = /\/(src\/(?:crypto|esp|ike|util|wire|connection)\/.*)$/.exec(url)?.[1];
    if (file === undefined) continue;
    for (const { functionName, ranges } of functions) {
      let steps = 0;
      for (const { count } of ranges) steps += count;
      const place = `${file} ${functionName}`;
      if (steps > 0) places.set(place, (places.get(place) ?? 0) + steps);
    }
  }
  const sorted = [...places].sort(([, a], [, b]) => b - a);
  return { total: sorted.reduce((sum, [, steps]) => sum + steps, 0), places: sorted };
}

/** What a backend was asked for since the counts were last set to zero. Octets are those of all inputs. */
export interface CryptoWork {
  hash: number;
  prf: number;
  integrity: number;
  cipher: number;
  dhGenerate: number;
  dhAgree: number;
  octets: number;
}

export interface CountingBackend extends CryptoBackend {
  readonly work: CryptoWork;
  reset(): void;
}

/** A backend that does what `inner` does and counts it. */
export function countingBackend(inner: CryptoBackend): CountingBackend {
  const work: CryptoWork = noWork();
  const add = (kind: keyof Omit<CryptoWork, 'octets'>, ...inputs: readonly Uint8Array[]): void => {
    work[kind]++;
    for (const input of inputs) work.octets += input.length;
  };
  return {
    name: `counting ${inner.name}`,
    work,
    reset: () => void Object.assign(work, noWork()),
    supports: (need) => inner.supports(need),
    hash: (name, ...chunks) => {
      add('hash', ...chunks);
      return inner.hash(name, ...chunks);
    },
    prf: (id) => {
      const prf = inner.prf(id);
      return {
        ...prf,
        compute: (key, ...chunks) => {
          add('prf', ...chunks);
          return prf.compute(key, ...chunks);
        },
      };
    },
    integrity: (id) => {
      const mac = inner.integrity(id);
      return {
        ...mac,
        compute: (key, ...chunks) => {
          add('integrity', ...chunks);
          return mac.compute(key, ...chunks);
        },
        verify: (key, icv, ...chunks) => {
          add('integrity', ...chunks);
          return mac.verify(key, icv, ...chunks);
        },
      };
    },
    cipher: (id, keyBits) => countingCipher(inner.cipher(id, keyBits), (data) => add('cipher', data)),
    keyExchange: (id) => inner.keyExchange(id),
    dh: (id) => {
      const group = inner.dh(id);
      const counted = (exchange: DhExchange): DhExchange => ({
        group: exchange.group,
        publicValue: exchange.publicValue,
        tryAgree: (peerPublic) => {
          add('dhAgree');
          return exchange.tryAgree(peerPublic);
        },
        agree: (peerPublic) => {
          add('dhAgree');
          return exchange.agree(peerPublic);
        },
        exportPrivate: () => exchange.exportPrivate(),
        wipe: () => exchange.wipe(),
      });
      return {
        id: group.id,
        publicLength: group.publicLength,
        sharedLength: group.sharedLength,
        generate: (random) => {
          add('dhGenerate');
          return counted(group.generate(random));
        },
        restore: (privateValue) => {
          add('dhGenerate');
          return counted(group.restore(privateValue));
        },
      };
    },
  };
}

function countingCipher(cipher: Cipher, count: (data: Uint8Array) => void): Cipher {
  if (cipher.aead) {
    return {
      ...cipher,
      seal: (key, nonce, aad, plaintext) => {
        count(plaintext);
        return cipher.seal(key, nonce, aad, plaintext);
      },
      open: (key, nonce, aad, sealed) => {
        count(sealed);
        return cipher.open(key, nonce, aad, sealed);
      },
    };
  }
  return {
    ...cipher,
    encrypt: (key, iv, plaintext) => {
      count(plaintext);
      return cipher.encrypt(key, iv, plaintext);
    },
    decrypt: (key, iv, ciphertext) => {
      count(ciphertext);
      return cipher.decrypt(key, iv, ciphertext);
    },
  };
}

function noWork(): CryptoWork {
  return { hash: 0, prf: 0, integrity: 0, cipher: 0, dhGenerate: 0, dhAgree: 0, octets: 0 };
}

/** The profiler of the own thread answers before `post` returns. */
function post(method: string, params: object = {}): unknown {
  let answer: unknown;
  session.post(method, params, (error, result) => {
    if (error !== null) throw new Error(`${method}: ${JSON.stringify(error)}`);
    answer = result;
  });
  return answer;
}
