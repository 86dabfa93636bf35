import type { BenchRow } from '#culvert/cli/bench-row.js';
import { createOpensslBackend, createPortableBackend } from '#culvert/crypto/backend.js';
import { dhName, encryptionName, prfName } from '#culvert/crypto/names.js';
import { DH_TRANSFORMS, ENCRYPTION_TRANSFORMS, PRF_TRANSFORMS } from '#culvert/crypto/transforms.js';
import type { Cipher, CryptoBackend } from '#culvert/crypto/types.js';
import type { Random } from '#culvert/util/random.js';

/**
 * One figure: so many operations, or so many megabits, a second on one core. `name` is backend, algorithm by
 * the name operators use, operation, and octets per operation where they matter.
 */
export interface CryptoBenchRow extends BenchRow {
  readonly part: 'crypto';
  readonly backend: string;
  readonly algorithm: string;
  readonly operation: 'exchange' | 'prf' | 'seal' | 'open';
  readonly unit: 'ops/s' | 'Mbit/s';
  /** How long one operation takes on average. */
  readonly microseconds: number;
  /** Operations measured. A figure from few of them is rough. */
  readonly operations: number;
}

export interface CryptoBenchOptions {
  /** Wall-clock bound of the whole run, warm-up included; about 8,000 by default. */
  readonly budgetMs?: number;
  /** Octets of plaintext for ciphers; 1400 by default. */
  readonly packetBytes?: number;
  /** Which backends to measure; all by default. */
  readonly backends?: readonly string[];
}

/** Octets. One exchange in a larger group takes bn.js up to two seconds, a quarter of the whole budget. */
const LARGEST_PORTABLE_MODP = 512;

/** A task to measure. `bits` is the payload of one operation, absent where operations are counted. */
interface Task {
  readonly operation: CryptoBenchRow['operation'];
  readonly algorithm: string;
  readonly backend: string;
  /** Octets per operation for the name, where they matter. */
  readonly octets?: number;
  readonly bits?: number;
  readonly run: () => unknown;
}

/**
 * Measures every DH group (one operation is a whole exchange of one side: draw, make the public value, agree),
 * PRF (over 200 octets, about what an AUTH payload signs beside the message) and cipher of the backends.
 * Each task gets an equal share of the time; one that is slower than its share runs once.
 */
export async function benchCrypto(options: CryptoBenchOptions = {}): Promise<CryptoBenchRow[]> {
  const random = seededOctets();
  const wanted = [createOpensslBackend(), createPortableBackend()].filter(
    (backend) => options.backends?.includes(backend.name) ?? true,
  );
  const packet = options.packetBytes ?? 1400;
  const tasks = wanted.flatMap((backend) => [
    ...dhTasks(backend, random),
    ...prfTasks(backend, random),
    ...cipherTasks(backend, random, packet),
  ]);
  const deadline = performance.now() + (options.budgetMs ?? 8000);
  const rows: CryptoBenchRow[] = [];
  for (const [i, task] of tasks.entries()) {
    const share = (deadline - performance.now()) / (tasks.length - i);
    rows.push(measure(task, Math.max(share, 0)));
    // Lets a signal or a progress line through between two tasks.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return rows;
}

function dhTasks(backend: CryptoBackend, random: Random): Task[] {
  return DH_TRANSFORMS.filter((x) => backend.supports({ kind: 'dh', id: x.id }))
    .filter((x) => backend.name !== 'portable' || x.publicLength <= LARGEST_PORTABLE_MODP)
    .sort((a, b) => a.id - b.id)
    .map(({ id }) => {
      const group = backend.dh(id);
      return {
        operation: 'exchange',
        algorithm: dhName(id),
        backend: backend.name,
        run: () => {
          // The own public value will do as the peer's: the arithmetic is the same.
          const exchange = group.generate(random);
          const outcome = exchange.agree(exchange.publicValue);
          if (!outcome.ok) throw new Error(outcome.error.message);
          outcome.value.wipe();
        },
      };
    });
}

function prfTasks(backend: CryptoBackend, random: Random): Task[] {
  return PRF_TRANSFORMS.filter((x) => backend.supports({ kind: 'prf', id: x.id })).map(({ id }) => {
    const prf = backend.prf(id);
    const key = random.bytes(prf.keyLength);
    const data = random.bytes(200);
    return {
      operation: 'prf',
      octets: data.length,
      algorithm: prfName(id),
      backend: backend.name,
      run: () => prf.compute(key, data),
    };
  });
}

function cipherTasks(backend: CryptoBackend, random: Random, packet: number): Task[] {
  return ENCRYPTION_TRANSFORMS.filter((x) => backend.supports({ kind: 'encryption', ...x })).flatMap((x) =>
    packetTasks(backend, backend.cipher(x.id, x.keyBits), encryptionName(x), random, packet),
  );
}

function packetTasks(
  backend: CryptoBackend,
  cipher: Cipher,
  name: string,
  random: Random,
  packet: number,
): Task[] {
  const key = random.bytes(cipher.keyLength);
  const length = cipher.aead ? packet : packet - (packet % cipher.blockLength);
  const plaintext = random.bytes(length);
  const both = (seal: () => Uint8Array, open: (sealed: Uint8Array) => unknown): Task[] => {
    const sealed = seal();
    const common = { algorithm: name, octets: length, backend: backend.name, bits: length * 8 };
    return [
      { ...common, operation: 'seal', run: seal },
      { ...common, operation: 'open', run: () => open(sealed) },
    ];
  };
  if (cipher.aead) {
    const nonce = random.bytes(cipher.saltLength + cipher.ivLength);
    const aad = random.bytes(8);
    return both(
      () => cipher.seal(key, nonce, aad, plaintext),
      (sealed) => cipher.open(key, nonce, aad, sealed),
    );
  }
  const iv = random.bytes(cipher.ivLength);
  return both(
    () => cipher.encrypt(key, iv, plaintext),
    (sealed) => cipher.decrypt(key, iv, sealed),
  );
}

/** Runs the task for about `share` milliseconds, at least once, after a warm-up of a fifth of that. */
function measure(task: Task, share: number): CryptoBenchRow {
  const first = timed(task, 1);
  // The first call builds what is built once (DH_check of group 2, noble's tables): it does not count
  // unless the task is so slow that there is time for nothing else.
  let operations = 1;
  let elapsed = first;
  if (first < share) {
    const warm = repeat(task, (share - first) / 5);
    const main = repeat(task, Math.max(share - first - warm.elapsed, 0));
    operations = main.operations;
    elapsed = main.elapsed;
  }
  const perSecond = (operations * 1000) / elapsed;
  return {
    part: 'crypto',
    name: [
      task.backend,
      task.algorithm,
      task.operation,
      ...(task.octets === undefined ? [] : [`${task.octets} B`]),
    ].join(' '),
    backend: task.backend,
    algorithm: task.algorithm,
    operation: task.operation,
    unit: task.bits === undefined ? 'ops/s' : 'Mbit/s',
    value: task.bits === undefined ? perSecond : (perSecond * task.bits) / 1e6,
    microseconds: 1e6 / perSecond,
    operations,
  };
}

function repeat(task: Task, milliseconds: number): { operations: number; elapsed: number } {
  let operations = 0;
  let elapsed = 0;
  for (let batch = 1; operations === 0 || elapsed < milliseconds; ) {
    const took = timed(task, batch);
    operations += batch;
    elapsed += took;
    // Batches of about a millisecond: reading the clock must not be part of what is measured.
    batch = Math.max(1, Math.min(4096, Math.floor(batch / Math.max(took, 0.001))));
  }
  return { operations, elapsed };
}

function timed(task: Task, batch: number): number {
  const start = performance.now();
  for (let i = 0; i < batch; i++) task.run();
  return performance.now() - start;
}

/** Repeatable octets: the figures do not depend on them, and a run should do the same work as the last one. */
function seededOctets(): Random {
  let state = 0x9e3779b9;
  return {
    bytes: (length) => {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i++) {
        // xorshift32
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        out[i] = state >>> 24;
      }
      return out;
    },
  };
}
