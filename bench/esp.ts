import type { BenchRow } from '#culvert/cli/bench-row.js';
import { createOpensslBackend } from '#culvert/crypto/backend.js';
import { opensslCipherName } from '#culvert/crypto/backends/openssl/cipher.js';
import { encryptionName, integrityName } from '#culvert/crypto/names.js';
import {
  ENCRYPTION_TRANSFORMS,
  encryptionTransform,
  espKeyLengths,
  INTEGRITY_TRANSFORMS,
  integrityTransform,
} from '#culvert/crypto/transforms.js';
import type { EspKeys, EspSuite } from '#culvert/crypto/types.js';
import { choosePacketCrypto } from '#culvert/dataplane/ffi/crypto/choose-crypto.js';
import {
  At,
  createArena,
  innerPacket as innerPacketAt,
  txPacket,
} from '#culvert/dataplane/ffi/memory/arena.js';
import { espLayout, padLength, SEQUENCE_OFFSET } from '#culvert/esp/layout.js';
import { InboundSa } from '#culvert/esp/open.js';
import { DEFAULT_REPLAY_WINDOW } from '#culvert/esp/params.js';
import { ReplayWindow } from '#culvert/esp/replay-window.js';
import { OutboundSa } from '#culvert/esp/seal.js';
import { SelectorSet } from '#culvert/esp/selectors.js';
import { readInner } from '#culvert/esp/trailer.js';
import { ffiAvailable } from '#culvert/linux/ffi.js';
import { readU32 } from '#culvert/util/bytes.js';
import type { Random } from '#culvert/util/random.js';
import { SecretKey } from '#culvert/util/secret.js';
import { TsType } from '#culvert/wire/ike/registry.js';
import { buildPacket, createPacketView, IpProtocol } from '#culvert/wire/ip.js';
import { opensslSpeed, opensslVersion } from './openssl-speed.js';

export interface EspBenchOptions {
  /** Wall-clock bound of the whole run; about 40,000 by default. */
  readonly budgetMs?: number;
  /** Octets of the inner packets; 64, 576 and 1400 by default. */
  readonly sizes?: readonly number[];
  /** Which suites to measure, by name such as `aes128gcm16` or `aes256-sha256`; all by default. */
  readonly suites?: readonly string[];
}

const SPI = 0x1234_5678;
/** Part of the time that goes to `openssl speed`: it counts in hundredths of a second. */
const YARDSTICK_SHARE = 0.55;
/** Packets opened under one SA before the anti-replay window is reset. */
const OPEN_BATCH = 128;

type Operation = 'seal' | 'open';

/** One figure to be taken: `run` does the operation `count` times. */
interface Task {
  readonly path: string;
  readonly suite: EspSuite;
  readonly size: number;
  readonly operation: Operation;
  run(count: number): void;
}

/**
 * ESP in memory, on one core: every suite, sealing and opening packets of each size, by node:crypto (the
 * portable data plane) and by OpenSSL through FFI (the other one). Anti-replay, padding and selector checks are
 * part of it, sockets and TUN are not. The ratio is to `openssl speed` over the same octets: cipher and, with
 * CBC, HMAC one after the other. Both sides count CPU time, so that other load on the machine matters less.
 */
export async function benchEsp(options: EspBenchOptions = {}): Promise<BenchRow[]> {
  const sizes = options.sizes ?? [64, 576, 1400];
  const suites = allSuites().filter((suite) => options.suites?.includes(suiteName(suite)) ?? true);
  const budget = options.budgetMs ?? 40_000;
  const started = performance.now();
  const yardsticks = await measureYardsticks(suites, sizes, budget * YARDSTICK_SHARE);
  const { tasks, note } = prepare(suites, sizes);
  const rows: BenchRow[] = [];
  for (const [i, task] of tasks.entries()) {
    const left = budget - (performance.now() - started);
    const seconds = measure(task, Math.max(0, left / (tasks.length - i)));
    rows.push(row(task, seconds, yardsticks, task.path === 'ffi' ? note : undefined));
    // Lets a signal through between two figures.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return rows;
}

function allSuites(): EspSuite[] {
  return ENCRYPTION_TRANSFORMS.flatMap((cipher) => {
    const encryption = { id: cipher.id, keyBits: cipher.keyBits };
    const macs = cipher.aead ? [0] : INTEGRITY_TRANSFORMS.map((mac) => mac.id);
    return macs.map((integrity) => ({ encryption, integrity, dh: 0, esn: false }));
  });
}

function suiteName(suite: EspSuite): string {
  const cipher = encryptionName(suite.encryption);
  return suite.integrity === 0 ? cipher : `${cipher}-${integrityName(suite.integrity)}`;
}

function row(task: Task, seconds: number, yardsticks: Yardsticks, note: string | undefined): BenchRow {
  const yardstick = yardsticks.secondsOf(task.suite, task.size, task.operation);
  const notes = [`${(seconds * 1e6).toFixed(2)} us each`, note, yardsticks.missing];
  return {
    part: 'esp',
    name: `${task.path} ${suiteName(task.suite)} ${task.operation} ${task.size}`,
    value: Math.round((task.size * 8) / seconds / 1e6),
    unit: 'Mbit/s',
    ...(yardstick === undefined
      ? {}
      : { ratio: Math.round((yardstick / seconds) * 1000) / 1000, ratioOf: yardsticks.name }),
    note: notes.filter((each) => each !== undefined).join('; '),
  };
}

/** CPU seconds of one operation, taken over about `milliseconds`. */
function measure(task: Task, milliseconds: number): number {
  // The first calls are compiled and fill caches: they do not count.
  let batch = 1;
  const warm = performance.now() + milliseconds / 5;
  do {
    const before = performance.now();
    task.run(batch);
    if (performance.now() - before < 2) batch *= 2;
  } while (performance.now() < warm);
  const end = performance.now() + (milliseconds * 4) / 5;
  const before = process.cpuUsage();
  let operations = 0;
  do {
    task.run(batch);
    operations += batch;
  } while (performance.now() < end);
  const used = process.cpuUsage(before);
  return (used.user + used.system) / 1e6 / operations;
}

interface Prepared {
  readonly tasks: readonly Task[];
  /** What is to be said about the FFI path. */
  readonly note: string | undefined;
}

function prepare(suites: readonly EspSuite[], sizes: readonly number[]): Prepared {
  const grid = suites.flatMap((suite) => sizes.map((size) => ({ suite, size })));
  const tasks = grid.flatMap(({ suite, size }) => portableTasks(suite, size));
  const support = ffiAvailable();
  if (!support.ok) return { tasks, note: undefined };
  const arena = createArena();
  const { crypto, note } = choosePacketCrypto(arena, createOpensslBackend(), octets);
  const able = grid.filter(({ suite }) => crypto.supports(suite));
  return {
    tasks: [...tasks, ...able.flatMap(({ suite, size }) => ffiTasks(arena, crypto, suite, size))],
    note,
  };
}

function portableTasks(suite: EspSuite, size: number): Task[] {
  const crypto = createOpensslBackend();
  const inner = innerPacket(size);
  const outbound = new OutboundSa({ spi: SPI, suite, keys: keysOf(suite), crypto, random: octets });
  const sealer = new OutboundSa({ spi: SPI, suite, keys: keysOf(suite), crypto, random: octets });
  let sealed: Uint8Array[] | undefined;
  return [
    {
      path: 'node:crypto',
      suite,
      size,
      operation: 'seal',
      run: (count) => {
        for (let i = 0; i < count; i++) if (!outbound.seal(inner).ok) throw new Error('not sealed');
      },
    },
    {
      path: 'node:crypto',
      suite,
      size,
      operation: 'open',
      run: (count) => {
        sealed ??= Array.from({ length: OPEN_BATCH }, () => sealOne(sealer, inner));
        for (let done = 0; done < count; done += OPEN_BATCH) {
          const inbound = inboundSa(suite, crypto);
          const batch = Math.min(OPEN_BATCH, count - done);
          for (let i = 0; i < batch; i++) if (!inbound.open(sealed[i]!).ok) throw new Error('not opened');
        }
      },
    },
  ];
}

function sealOne(sealer: OutboundSa, inner: Uint8Array): Uint8Array {
  const result = sealer.seal(inner);
  if (!result.ok) throw new Error(`not sealed: ${result.error}`);
  return result.value;
}

function inboundSa(suite: EspSuite, crypto: ReturnType<typeof createOpensslBackend>): InboundSa {
  const replayWindow = DEFAULT_REPLAY_WINDOW;
  return new InboundSa({ spi: SPI, suite, keys: keysOf(suite), crypto, selectors: SELECTORS, replayWindow });
}

function ffiTasks(
  arena: ReturnType<typeof createArena>,
  crypto: ReturnType<typeof choosePacketCrypto>['crypto'],
  suite: EspSuite,
  size: number,
): Task[] {
  const inner = innerPacket(size);
  const common = { path: 'ffi', suite, size } as const;
  // Contexts are made when the task runs and freed after it: they live outside the garbage collector.
  return [
    {
      ...common,
      operation: 'seal',
      run: (count) => {
        const sealer = crypto.sealer(suite, SPI, keysOf(suite));
        arena.bytes.set(inner, innerPacketAt());
        for (let i = 1; i <= count; i++)
          sealer.seal(innerPacketAt(), size, IpProtocol.IPV4, i, txPacket(i & 7));
        sealer.complete();
        sealer.free();
      },
    },
    {
      ...common,
      operation: 'open',
      run: (count) => {
        const sealer = crypto.sealer(suite, SPI, keysOf(suite));
        arena.bytes.set(inner, innerPacketAt());
        const packet = txPacket(0);
        const length = sealer.seal(innerPacketAt(), size, IpProtocol.IPV4, 1, packet);
        sealer.complete();
        sealer.free();
        const opener = crypto.opener(suite, keysOf(suite));
        const window = new ReplayWindow(DEFAULT_REPLAY_WINDOW);
        const view = createPacketView();
        for (let i = 1; i <= count; i++) {
          // The same packet each time, its number aside: the window sees a sequence that goes on.
          const sequence = readU32(arena.bytes, packet + SEQUENCE_OFFSET) + i;
          if (!window.check(sequence)) throw new Error('refused by the anti-replay window');
          const plain = opener.open(packet, length, At.plain);
          if (plain < 0 || !window.advance(sequence)) throw new Error('not opened');
          if (readInner(arena.bytes, At.plain, At.plain + plain, SELECTORS, view) !== size) {
            throw new Error('not the inner packet');
          }
        }
        opener.free();
      },
    },
  ];
}

interface Yardsticks {
  readonly name: string;
  readonly missing: string | undefined;
  /** CPU seconds `openssl speed` needs for the cryptography of one packet. */
  secondsOf(suite: EspSuite, size: number, operation: Operation): number | undefined;
}

async function measureYardsticks(
  suites: readonly EspSuite[],
  sizes: readonly number[],
  budgetMs: number,
): Promise<Yardsticks> {
  const version = opensslVersion();
  if (version === undefined) {
    return { name: '', missing: 'no openssl program to compare with', secondsOf: () => undefined };
  }
  const jobs = new Map<string, Parameters<typeof opensslSpeed>[0]>();
  for (const suite of suites) {
    for (const size of sizes) {
      const layout = espLayout(suite);
      const octets = size + padLength(layout, size) + 2;
      const name = opensslCipherName(encryptionTransform(suite.encryption));
      if (name === undefined) continue;
      for (const operation of ['seal', 'open'] as const) {
        const decrypt = operation === 'open';
        jobs.set(cipherKey(suite, size, operation), { kind: 'cipher', name, decrypt, octets });
      }
      if (suite.integrity === 0 || jobs.has(macKey(suite, size))) continue;
      const { hash } = integrityTransform(suite.integrity);
      jobs.set(macKey(suite, size), { kind: 'hmac', hash, octets: layout.bodyOffset + octets });
    }
  }
  const figures = new Map<string, number>();
  for (const [key, job] of jobs) {
    const seconds = await opensslSpeed(job, budgetMs / jobs.size);
    if (seconds !== undefined) figures.set(key, seconds);
  }
  return {
    name: `openssl speed (${version})`,
    missing: undefined,
    secondsOf: (suite, size, operation) => {
      const cipher = figures.get(cipherKey(suite, size, operation));
      const mac = suite.integrity === 0 ? 0 : figures.get(macKey(suite, size));
      return cipher === undefined || mac === undefined ? undefined : cipher + mac;
    },
  };
}

function cipherKey(suite: EspSuite, size: number, operation: Operation): string {
  return `${encryptionName(suite.encryption)} ${operation} ${size}`;
}

/** By the packet size alone: the ciphers' IVs make a difference of 8 octets that no figure shows. */
function macKey(suite: EspSuite, size: number): string {
  return `${integrityName(suite.integrity)} ${size}`;
}

/** Octets that look like nothing. Predictable: these packets are never sent. */
const octets: Random = {
  bytes: (length) => Uint8Array.from({ length }, (_, i) => (i * 197 + 31) % 256),
};

function keysOf(suite: EspSuite): EspKeys {
  const lengths = espKeyLengths(suite);
  const encryption = new SecretKey(octets.bytes(lengths.encryption));
  if (lengths.integrity === 0) return { encryption };
  return { encryption, integrity: new SecretKey(octets.bytes(lengths.integrity)) };
}

const EVERYWHERE = {
  tsType: TsType.IPV4_ADDR_RANGE,
  protocol: 0,
  startPort: 0,
  endPort: 65535,
  startAddress: Uint8Array.of(10, 0, 0, 0),
  endAddress: Uint8Array.of(10, 255, 255, 255),
};
const SELECTORS = new SelectorSet([EVERYWHERE], [EVERYWHERE]);

function innerPacket(size: number): Uint8Array {
  const fields = {
    source: Uint8Array.of(10, 1, 0, 1),
    destination: Uint8Array.of(10, 2, 0, 1),
    protocol: IpProtocol.UDP,
  };
  return buildPacket(fields, octets.bytes(size - 20));
}
