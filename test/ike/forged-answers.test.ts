import t from 'tap';
import { decodeMessage, encodeMessage } from '../../src/wire/ike/message.js';
import { decodeV1Message, encodeV1Message } from '../../src/wire/ike/v1/message.js';
import { EAST, faults, type Pair, pair, WEST } from '../helpers/engine-pair.js';
import { v1Faults, v1Pair } from '../helpers/v1-pair.js';

/** The answer with a public value that no group has: zeros. */
function withoutValue(bytes: Uint8Array, version: 1 | 2): Uint8Array {
  const decoded = version === 1 ? decodeV1Message(bytes) : decodeMessage(bytes);
  if (!decoded.ok) throw new Error(decoded.error.message);
  const payloads = decoded.value.payloads.map((one) =>
    one.kind === 'ke' ? { ...one, data: new Uint8Array(one.data.length) } : one,
  );
  return version === 1
    ? encodeV1Message(decoded.value.header as never, payloads as never)
    : encodeMessage(decoded.value.header as never, payloads as never);
}

/** Lets the east negotiate, and gives it a forged copy of the west's `n`th datagram just before that one. */
function forge({ sim, east }: Pair, n: number, version: 1 | 2, alone = false): void {
  sim.initiate(east);
  const answers = () => sim.net.sent.filter(({ from }) => from.address === WEST);
  sim.run(sim.now + 1000, () => answers().length >= n);
  const { bytes, natTraversalPort } = answers()[n - 1]!;
  if (alone) while (sim.net.take(Number.POSITIVE_INFINITY) !== undefined);
  const [local, remote] = [
    { address: EAST, port: 500 },
    { address: WEST, port: 500 },
  ];
  const input = {
    kind: 'datagram',
    local,
    remote,
    natTraversalPort,
    bytes: withoutValue(bytes, version),
  } as const;
  sim.input(east, input);
}

t.test('IKEv2: an answer with an invalid public value is a hint, and the real one counts', async (t) => {
  const made = pair();
  forge(made, 1, 2);
  made.sim.run(made.sim.now + 3000);
  t.equal(faults(made), undefined);
  t.strictSame(made.east.eventsOf('ike-failed'), []);
});

t.test('IKEv1: so is a message 4 of main mode', async (t) => {
  const made = v1Pair();
  forge(made, 2, 1);
  made.sim.run(made.sim.now + 3000);
  t.equal(v1Faults(made), undefined);
  t.strictSame(made.east.eventsOf('ike-failed'), []);
});

for (const version of [1, 2] as const) {
  t.test(`IKEv${version}: a peer that has nothing better to say is told soon`, async (t) => {
    const made = version === 1 ? v1Pair() : pair();
    forge(made, version === 1 ? 2 : 1, version, true);
    made.sim.nodes.pop();
    made.sim.run(made.sim.now + 1500);
    t.match(made.east.eventsOf('ike-failed')[0]?.failure, {
      cause: 'invalid_syntax',
      message: /public value is not valid/,
    });
  });
}
