import type { EngineConfig } from '../../src/ike/config.js';
import { Engine } from '../../src/ike/engine.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { SecretKey } from '../../src/util/secret.js';
import { type ConnectionPatch, connection, EAST, type Pair } from './engine-pair.js';
import { SeededRandom } from './seeded-random.js';
import { createToyBackend } from './toy-crypto.js';

/** Keys that strangers work with are not looked at. */
let strangersTurn = false;

/**
 * Somebody on the path who reads what the east sends and answers all of it as the west would, whole and well-formed,
 * with values of its own; only the pre-shared key it does not know. Its answers arrive `delay` ms after the east has
 * sent: those of the west take 10 ms. `speaks`: which of them it sends, counted from 0.
 */
export function addStranger(
  { sim }: Pair,
  delay: number,
  patch: ConnectionPatch = {},
  seed = 77,
  speaks: (answer: number) => boolean = () => true,
): void {
  const config: EngineConfig = {
    connections: [connection('west', { ...patch, psk: `guess-number-${seed}` })],
  };
  const limits = { ...DEFAULT_LIMITS, requestsPerSecond: 1e6, requestsPerSecondInAll: 1e6 };
  const engine = new Engine({ crypto: createToyBackend(), random: new SeededRandom(seed), limits, config });
  const { net } = sim;
  const send = net.send.bind(net);
  let answers = 0;
  const oneWay = net.conditions.latency[0];
  net.send = (output, now) => {
    send(output, now);
    const { local, remote, natTraversalPort, bytes } = output;
    if (local.address !== EAST) return;
    strangersTurn = true;
    const outputs = engine.handle(
      { kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes },
      now,
    );
    strangersTurn = false;
    for (const one of outputs) {
      if (one.kind !== 'send' || !speaks(answers++)) continue;
      const forged = {
        from: one.local,
        to: one.remote,
        natTraversalPort: one.natTraversalPort,
        bytes: one.bytes,
      };
      net.inject(forged, now + delay - oneWay);
    }
  };
}

/** How many of the keys that `run` has used are not wiped when it is over. */
export function keysLeft(run: () => void): number {
  const used = new Set<SecretKey>();
  const { expose } = SecretKey.prototype;
  SecretKey.prototype.expose = function (this: SecretKey) {
    if (!strangersTurn) used.add(this);
    return expose.call(this);
  };
  try {
    run();
  } finally {
    SecretKey.prototype.expose = expose;
  }
  return [...used].filter((key) => {
    try {
      key.expose();
      return true;
    } catch {
      return false;
    }
  }).length;
}
